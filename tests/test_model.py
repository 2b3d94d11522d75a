"""The model as one object: its pieces, its parameters, its identity, its text."""

import dataclasses
import json
import pickle
from pathlib import Path
from typing import ClassVar

import pytest

import xlsm
from xlsm.errors import LSMError, ModelError, ParameterError
from xlsm.model.parameters import ParameterSpec

MODELS = {
    "default": xlsm.Model(),
    "paper": xlsm.models.huang2025(),
    "insulated": xlsm.Model(bottom=xlsm.ZeroFlux(), solver="tridiagonal"),
    "jacobi": xlsm.Model(solver=xlsm.Jacobi(tolerance=1e-6, max_iterations=500)),
    "coarse": xlsm.Model(grid=xlsm.UniformGrid(depth=2.5, nodes=26), solver=xlsm.Modal()),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@dataclasses.dataclass(frozen=True)
class LayeredSoil(xlsm.UniformSoil):
    """A stand-in for a soil that is not the same everywhere."""

    uniform: ClassVar[bool] = False


@every_model
def test_same_settings_same_model(model):
    fields = dataclasses.fields(model)
    twin = xlsm.Model(**{field.name: getattr(model, field.name) for field in fields})
    assert twin is not model
    assert twin == model
    assert hash(twin) == hash(model)
    back = pickle.loads(pickle.dumps(model))
    assert back == model
    assert hash(back) == hash(model)
    assert back.parameters == model.parameters


def test_other_settings_other_model():
    assert len(set(MODELS.values())) == len(MODELS)
    assert xlsm.Model(grid=xlsm.UniformGrid(nodes=51)) != xlsm.Model()
    assert xlsm.Model(solver=xlsm.Jacobi(1e-3)) != xlsm.Model(solver=xlsm.Jacobi(1e-4))


@every_model
def test_models_are_frozen(model):
    for piece in (model, model.grid, model.soil, model.surface, model.bottom, model.stepper):
        for field in dataclasses.fields(piece):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(piece, field.name, None)


@every_model
def test_text_rebuilds_the_model(model):
    text = model.to_json()
    json.loads(text)
    back = xlsm.Model.from_json(text)
    assert back == model
    assert back.to_json() == text
    assert type(back.stepper) is type(model.stepper)


GOOD = json.loads(xlsm.Model().to_json())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "3",
        '"modal"',
        json.dumps({"gird": GOOD["grid"]}),
        json.dumps(GOOD | {"soil": {"piece": "FrozenSoil"}}),
        json.dumps(GOOD | {"soil": {"piece": "Model"}}),
        json.dumps(GOOD | {"soil": {"piece": "__import__"}}),
        json.dumps(GOOD | {"soil": {}}),
        json.dumps(GOOD | {"soil": 3}),
        json.dumps(GOOD | {"grid": {"piece": "UniformGrid", "depth": 1.0, "levels": 5}}),
        json.dumps(GOOD | {"grid": {"piece": "UniformGrid", "depth": 1.0, "nodes": 2}}),
        json.dumps(GOOD | {"solver": "magic"}),
    ],
)
def test_text_that_is_no_model_is_refused(text):
    with pytest.raises(ModelError, match=r"cannot rebuild the model.*pass model= explicitly"):
        xlsm.Model.from_json(text)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: xlsm.Model(solver="magic"), "unknown solver 'magic'.*auto.*jacobi.*modal"),
        (lambda: xlsm.UniformGrid(nodes=2), "at least 3 nodes, got 2"),
        (lambda: xlsm.UniformGrid(depth=0.0), "depth must be positive"),
        (lambda: xlsm.UniformGrid(depth=float("nan")), "depth must be positive"),
        (lambda: xlsm.UniformGrid(depth=float("inf")), "depth must be positive"),
        (lambda: xlsm.Model(soil=LayeredSoil(), solver="modal"), "needs a uniform soil"),
        (lambda: xlsm.Model(soil=LayeredSoil(), solver=xlsm.Modal()), "solver=.tridiagonal."),
        (lambda: xlsm.models.get("huang2026"), "unknown model 'huang2026'.*huang2025"),
    ],
)
def test_models_that_cannot_be(build, message):
    with pytest.raises(ModelError, match=message) as raised:
        build()
    assert isinstance(raised.value, LSMError)


def test_a_soil_that_varies_gets_the_general_solver():
    assert isinstance(xlsm.Model(soil=LayeredSoil()).stepper, xlsm.Tridiagonal)
    assert isinstance(xlsm.Model(soil=LayeredSoil(), solver="jacobi").stepper, xlsm.Jacobi)


def test_models_by_name():
    assert xlsm.models.get(None) == xlsm.models.get("default") == xlsm.Model()
    assert xlsm.models.get("huang2025") == MODELS["paper"]
    assert xlsm.models.get(MODELS["coarse"]) is MODELS["coarse"]


@every_model
def test_each_parameter_is_declared_once(model):
    fields = dataclasses.fields(model)
    pieces = [getattr(model, field.name) for field in fields if field.name != "solver"]
    declared = [spec for piece in pieces for spec in piece.parameters]
    names = [spec.name for spec in declared]
    assert len(set(names)) == len(names)
    assert len({spec.symbol for spec in declared}) == len(names)
    assert set(model.parameters) == set(names)
    for name, spec in model.parameters.items():
        assert name == spec.name
        lower, upper = spec.bounds
        assert lower < spec.default < upper
        assert spec.meaning
        assert spec.units


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bounds": (2.0, 1.0)}, "finite and ordered"),
        ({"bounds": (1.0, 1.0)}, "finite and ordered"),
        ({"bounds": (0.0, float("inf"))}, "finite and ordered"),
        ({"bounds": (0.0, 2.0), "scale": "log"}, "positive lower bound"),
        ({"default": 3.0}, "default 3.0 is outside"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(changed, message):
    settings = {"bounds": (0.5, 2.0), "default": 1.0, "scale": "linear"} | changed
    with pytest.raises(ValueError, match=message):
        ParameterSpec(name="x", symbol="x", units="1", meaning="a thing", **settings)


H, h, beta = "combined_transfer_coefficient", "heat_transfer_coefficient", "bowen_ratio"


@pytest.mark.parametrize(
    ("given", "turbulent"),
    [
        (set(), {H}),
        ({"albedo"}, {H}),
        ({H}, {H}),
        ({beta}, {H, beta}),
        ({H, beta}, {H, beta}),
        ({h, beta}, {h, beta}),
    ],
)
@every_model
def test_the_parameters_in_use(model, given, turbulent):
    used = model.used(given)
    assert len(set(used)) == len(used)
    assert set(used) & {H, h, beta} == turbulent
    assert {"albedo", "emissivity", "thermal_conductivity", "heat_capacity"} <= set(used)
    insulated = isinstance(model.bottom, xlsm.ZeroFlux)
    assert ("deep_temperature" in used) is not insulated
    # something must start the column: its bottom, unless that has no temperature of its own
    assert ("initial_temperature" in used) is insulated
    assert "initial_temperature" in model.used(given | {"initial_temperature"})
    assert set(used) <= set(model.parameters)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({H, h}, r"\(H\) and heat_transfer_coefficient \(h\) are both given.*give H, or H and"),
        ({H, h, beta}, r"\(H\) and heat_transfer_coefficient \(h\) are both given"),
        ({h}, r"\(h\) alone does not fix the turbulent flux: give bowen_ratio"),
    ],
)
@every_model
def test_contradictory_parameters_are_refused(model, given, message):
    with pytest.raises(ParameterError, match=message):
        model.used(given)


def test_readme_lists_every_parameter():
    """Its table is written by hand and must say what the declarations say."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for spec in xlsm.Model().parameters.values():
        lower, upper = spec.bounds
        row = f"| `{spec.name}` | {spec.symbol} | {spec.units} | {spec.default:g} |"
        assert f"{row} {lower:g} to {upper:g} |" in readme
