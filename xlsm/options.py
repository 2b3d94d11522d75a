"""Texts of the command line's options, as numbers and names."""

from __future__ import annotations

import typer

__all__ = ["errors_in", "names_in", "number_in", "numbers_in", "pairs_in", "share_in", "whole"]


def names_in(text: str) -> list[str]:
    """Split ``a,b,c``."""
    return [part.strip() for part in text.split(",") if part.strip()]


def number_in(text: str, option: str) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{option}: {text!r} is no number") from None


def whole(value: float, option: str) -> int:
    """Take a number that has no fraction."""
    if value != int(value):
        raise typer.BadParameter(f"{option}: '{value:g}' is no whole number")
    return int(value)


def share_in(text: str | None) -> str | float | None:
    """Read ``0.25`` as a number, and leave a duration to those who know them."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def numbers_in(text: str | None, option: str) -> dict[str, float]:
    """Read ``a=1,b=2``."""
    found = {}
    for part in names_in(text or ""):
        name, equals, value = part.partition("=")
        if not equals:
            raise typer.BadParameter(f"{option}: expected NAME=NUMBER, got {part!r}")
        found[name.strip()] = number_in(value, option)
    return found


def pairs_in(texts: list[str] | None, option: str) -> dict[str, str]:
    """Read ``a=b`` of an option that may be repeated."""
    found = {}
    for text in texts or []:
        old, equals, new = (part.strip() for part in text.partition("="))
        if not (old and equals and new):
            raise typer.BadParameter(f"{option}: expected OLD=NEW, got {text!r}")
        found[old] = new
    return found


def errors_in(text: str | None) -> list[str] | dict[str, float] | None:
    """Read ``a=1,b``: standard errors, the usual ones where there is no number."""
    from xlsm.variables import VARIABLES

    if text is None:
        return None
    errors = {}
    for part in names_in(text):
        name, equals, value = part.partition("=")
        usual = VARIABLES[name].error if name in VARIABLES else None
        # an unknown name is refused later, by the verb, which knows what it may have meant
        errors[name.strip()] = number_in(value, "--observed") if equals else usual or 1.0
    return errors
