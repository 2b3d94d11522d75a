"""A model shows its pieces and parameters, in a terminal and in a notebook."""

import math
from html.parser import HTMLParser

import pytest

import xlsm
from xlsm import models
from xlsm.model.layers import LayeredSoil
from xlsm.model.text import WIDTH, call, number

NESTED = xlsm.Model(
    grid="auto",
    soil=LayeredSoil(thicknesses=(0.1, math.inf)),
    surface=xlsm.SkinLayer(
        radiation=xlsm.PaperRadiation(), albedo=xlsm.ObservedAlbedo(), sources=("Qanth",)
    ),
    turbulence=xlsm.WindExchange(),
    bottom=xlsm.AnnualTemperature(),
    initial=xlsm.SpunUp(days=5, initial=xlsm.ProfileInitial(depths=(0.0, 0.3))),
    stepping=xlsm.SDIRK2(substeps=2),
)
MODELS = {
    "default": xlsm.Model(),
    "paper": models.huang2025(),
    "thermometers": models.thermometers(),
    "jacobi": xlsm.Model(solver=xlsm.Jacobi(tolerance=1e-6)),
    "nested": NESTED,
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


class Tables(HTMLParser):
    """Cells of each table, row by row; complains of tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tables = [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data


@every_model
def test_text_is_narrow_and_names_every_parameter(model):
    lines = repr(model).splitlines()
    assert max(map(len, lines)) <= WIDTH == 100
    begin = next(i for i, line in enumerate(lines) if line.startswith("parameter "))
    first_words = [line.split(" ")[0] for line in lines[begin + 1 :]]
    assert [word for word in first_words if word and word[0] != "("] == list(model.parameters)


@every_model
def test_meanings_survive_the_wrapping(model):
    lines = repr(model).splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("parameter "))
    column = lines[begin].index("meaning")
    text = " ".join(line[column:].strip() for line in lines[begin + 1 :])
    for spec in model.parameters.values():
        assert spec.meaning in text


@every_model
def test_html_holds_what_the_text_holds(model):
    pieces, parameters = Tables(model._repr_html_()).tables
    text = " ".join(repr(model).split())
    for name, value in pieces:
        assert f"{name} {value}" in text
    assert [row[0] for row in parameters[1:]] == list(model.parameters)
    assert [row[-1] for row in parameters[1:]] == [p.meaning for p in model.parameters.values()]
    assert [row[2] for row in parameters[1:]] == [p.units for p in model.parameters.values()]


@every_model
def test_one_line_makes_the_model_again(model):
    line = call(model)
    assert "\n" not in line
    names = {**vars(xlsm), "LayeredSoil": LayeredSoil, "inf": math.inf}
    assert eval(line, names) == model


def test_print_gives_the_table(capsys):
    print(NESTED)
    assert capsys.readouterr().out == f"{NESTED!r}\n"


def test_only_settings_that_differ_are_shown():
    text = repr(NESTED)
    for piece in (
        "grid        AutoGrid()\n",
        "soil        LayeredSoil(thicknesses=(0.1, inf))\n",
        "initial     SpunUp(days=5, initial=ProfileInitial(depths=(0.0, 0.3)))\n",
        "stepping    SDIRK2(substeps=2)\n",
        "radiation=PaperRadiation(), albedo=ObservedAlbedo(), sources=('Qanth',)",
    ):
        assert piece in text
    assert call(xlsm.Model()) == "Model()"
    assert call(xlsm.SkinLayer(radiation=xlsm.GreyBody())) == "SkinLayer()"


def test_solver_and_forcing_are_shown():
    assert "solver      Modal(), taken by 'auto'\n" in repr(xlsm.Model())
    assert "solver      Tridiagonal()\n" in repr(xlsm.Model(solver="tridiagonal"))
    assert "solver      Jacobi(tolerance=1e-06)\n" in repr(MODELS["jacobi"])
    assert "forcing     SWdown, LWdown, Tair\n" in repr(xlsm.Model())
    assert "SWup (may be missing at times)" in repr(NESTED)
    assert "from data   grid, initial:" in repr(NESTED)
    assert "from data" not in repr(xlsm.Model())
    followed = xlsm.Model(bottom=xlsm.ObservedBottom(depth=0.5), grid=xlsm.UniformGrid(depth=0.5))
    assert "Tair, SoilTemp at 0.5 m\n" in repr(followed)


def test_pieces_without_use_are_left_out():
    assert "turbulence" not in repr(models.thermometers())


def test_defaults_that_wait_to_be_asked_for_are_in_brackets():
    """Those of `used(())` are in use anyway; the others are first guesses only."""
    parameters = Tables(xlsm.Model()._repr_html_()).tables[1][1:]
    bracketed = {row[0] for row in parameters if row[3].startswith("(")}
    assert bracketed == set(xlsm.Model().parameters) - set(xlsm.Model().used(()))
    assert "(default):" in repr(xlsm.Model())
    bare = xlsm.Model(turbulence=xlsm.WindExchange(), initial=xlsm.ObservedInitial())
    assert "(5e-7)" in repr(bare)


def test_html_is_escaped_and_brings_no_colours():
    model = xlsm.Model(surface=xlsm.BareSurface(sources=("<script>&",)))
    html = model._repr_html_()
    assert "<script>" not in html
    assert "sources=(&#x27;&lt;script&gt;&amp;&#x27;,)" in html
    assert "color" not in html
    assert "background" not in html


def test_long_pieces_are_wrapped():
    depths = tuple(i / 100 for i in range(60))
    text = repr(xlsm.Model(initial=xlsm.ProfileInitial(depths=depths)))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "0.59" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (-1e6, "-1e6"),
        (99999.0, "99999"),
        (1e-8, "1e-8"),
        (1.93e6, "1.93e6"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
