"""A model for the eye: its pieces and its parameters as tables, in plain text and in html."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from xlsm.model.piece import Piece

if TYPE_CHECKING:
    from xlsm.model.model import Model

__all__ = ["call", "html", "number", "plain"]

#: Columns a terminal has, or a page; the last column of a table is wrapped to fit.
WIDTH = 100
#: Never narrower than this, however wide the columns before it.
NARROWEST = 20
HEAD = ("parameter", "symbol", "units", "default", "bounds", "meaning")
#: What a default in brackets means.
NOTE = "(default): used only where it is given or estimated; the default is its first guess"

Row = Sequence[str]


def call(value: Any) -> str:
    """Write a piece, or a whole model, as the call that makes it: settings that differ only.

    Parameters
    ----------
    value : Piece, Model, or anything a setting may be

    Returns
    -------
    str
        One line.

    Examples
    --------
    >>> from xlsm.model.initial import ObservedInitial
    >>> from xlsm.model.spin_up import SpunUp
    >>> call(SpunUp(days=5, initial=ObservedInitial()))
    'SpunUp(days=5, initial=ObservedInitial())'
    """
    if isinstance(value, tuple):
        inner = ", ".join(map(call, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return repr(value)
    given = [
        f"{field.name}={call(getattr(value, field.name))}"
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != _default(field)
    ]
    return f"{type(value).__name__}({', '.join(given)})"


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def number(value: float) -> str:
    """Write a number with up to six digits, from 1e5 on with an exponent, and that a short one.

    Examples
    --------
    >>> number(100000.0), number(5e-07), number(288.15)
    ('1e5', '5e-7', '288.15')
    """
    text = f"{value:.5e}" if abs(value) >= 1e5 else f"{value:g}"
    mantissa, e, exponent = text.partition("e")
    return f"{float(mantissa):g}e{int(exponent)}" if e else text


def plain(model: Model) -> str:
    """Write a model as text of at most `WIDTH` columns: what ``print`` and ``repr`` give.

    Examples
    --------
    >>> from xlsm.model.model import Model
    >>> print(plain(Model()).partition("parameter ")[0])
    xlsm.Model
      grid        UniformGrid()
      soil        UniformSoil()
      surface     BareSurface()
      turbulence  ConstantExchange()
      bottom      FixedTemperature()
      initial     UniformInitial()
      stepping    BackwardEuler()
      solver      Modal(), taken by 'auto'
      forcing     SWdown, LWdown, Tair
    """
    rows = list(_parameters(model))
    note = [NOTE] if any(row[3].startswith("(") for row in rows) else []
    return "\n".join(
        [
            "xlsm.Model",
            *(f"  {line}" for line in _aligned(list(_pieces(model)), WIDTH - 2)),
            "",
            *_aligned([HEAD, *rows], WIDTH),
            *note,
        ]
    )


def html(model: Model) -> str:
    """Write a model as two html tables, in the colours of the page they stand on.

    Examples
    --------
    >>> from xlsm.model.model import Model
    >>> html(Model()).count("<table>")
    2
    """
    rows = list(_parameters(model))
    note = f"<div>{escape(NOTE)}</div>" if any(row[3].startswith("(") for row in rows) else ""
    pieces = "".join(
        _html_row((f"<strong>{escape(name)}</strong>", escape(text)), "td")
        for name, text in _pieces(model)
    )
    return (
        f"<div><div>xlsm.Model</div><table><tbody>{pieces}</tbody></table>"
        f"<table><thead>{_html_row(HEAD, 'th')}</thead><tbody>"
        + "".join(_html_row(tuple(map(escape, row)), "td") for row in rows)
        + f"</tbody></table>{note}</div>"
    )


def _pieces(model: Model) -> Iterator[tuple[str, str]]:
    """Name and text of everything in use but the parameters."""
    fields = [field.name for field in dataclasses.fields(model) if field.name != "solver"]
    # a surface that follows a temperature has no use for turbulence
    pieces = {name: getattr(model, name) for name in fields}
    used = {n: piece for n, piece in pieces.items() if any(piece is p for p in model.pieces)}
    for name, piece in used.items():
        yield name, call(piece)
    taken = ", taken by 'auto'" if model.solver == "auto" else ""
    yield "solver", call(model.stepper) + taken
    yield "forcing", ", ".join(_forcing(name, model) for name in model.forcing) or "none"
    open_ = [n for n, piece in used.items() if type(piece).resolved is not Piece.resolved]
    if open_:
        yield "from data", f"{', '.join(open_)}: what they leave open, and what they observe"


def _forcing(name: str, model: Model) -> str:
    variable, _, depth = name.partition("@")
    where = f" at {number(float(depth))} m" if depth else ""
    missing = " (may be missing at times)" if name in model.tolerated else ""
    return variable + where + missing


def _parameters(model: Model) -> Iterator[Row]:
    """Texts of each parameter under `HEAD`."""
    usual = model.used(())
    for name, spec in model.parameters.items():
        default = number(spec.default)
        yield (
            name,
            spec.symbol,
            spec.units,
            default if name in usual else f"({default})",
            " to ".join(map(number, spec.bounds)),
            spec.meaning,
        )


def _aligned(rows: Sequence[Row], width: int) -> Iterator[str]:
    """Lines of a table whose last column is wrapped."""
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    indent = sum(widths) + 2 * len(widths)
    for row in rows:
        start = "".join(f"{text:<{wide}}  " for text, wide in zip(row, widths, strict=False))
        lines = textwrap.wrap(row[-1], max(width - indent, NARROWEST)) or [""]
        yield (start + lines[0]).rstrip()
        for line in lines[1:]:
            yield " " * indent + line


def _html_row(cells: Row, tag: str) -> str:
    """Build a row of cells that are html already."""
    style = 'style="text-align: left; vertical-align: top"'
    return "<tr>" + "".join(f"<{tag} {style}>{cell}</{tag}>" for cell in cells) + "</tr>"
