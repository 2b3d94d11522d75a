"""What is written after an option of the command line, read."""

from __future__ import annotations

import typer

__all__ = ["errors", "names", "number", "numbers", "share", "whole"]


def names(text: str) -> list[str]:
    """Read ``a,b,c``."""
    return [part.strip() for part in text.split(",") if part.strip()]


def number(text: str, option: str) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{option}: {text!r} is no number") from None


def whole(value: float, option: str) -> int:
    """Make a number a whole one."""
    if value != int(value):
        raise typer.BadParameter(f"{option}: '{value:g}' is no whole number")
    return int(value)


def share(text: str | None) -> str | float | None:
    """Read ``0.25`` as a number, and leave a duration to those who know them."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def numbers(text: str | None, option: str) -> dict[str, float]:
    """Read ``a=1,b=2``."""
    found = {}
    for part in names(text or ""):
        name, equals, value = part.partition("=")
        if not equals:
            raise typer.BadParameter(f"{option}: expected NAME=NUMBER, got {part!r}")
        found[name.strip()] = number(value, option)
    return found


def errors(text: str | None) -> list[str] | dict[str, float] | None:
    """Read ``a=1,b``: standard errors, the usual ones where there is no number."""
    from xlsm.variables import VARIABLES

    if text is None:
        return None
    found: dict[str, float] = {}
    for part in names(text):
        name, equals, value = part.partition("=")
        usual = VARIABLES[name].error if name in VARIABLES else None
        # an unknown name is refused later, by the verb, which knows what it may have meant
        found[name.strip()] = number(value, "--observed") if equals else usual or 1.0
    return found
