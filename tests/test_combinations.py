"""Energy closes to round-off whatever pieces a model is made of."""

import itertools
import math

import jax
import numpy as np
import pytest
import quick

import xlsm
from xlsm.errors import ModelError
from xlsm.model import column
from xlsm.model.column import pairs
from xlsm.model.piece import Piece
from xlsm.model.solvers.base import State

STEP, STATIONS = 1800.0, 2
#: What is left of columns that hold 1e9 J m-2, over half an hour (W m-2).
ROUND_OFF = 1e-8
DEPTH, TOP = 0.6, 0.1

BULK = {"wind_height": 10.0, "temperature_height": 2.0}
CLOSURES = {"bare": xlsm.BareSurface, "skin": xlsm.SkinLayer, "followed": None}
RADIATIONS = {"grey": xlsm.GreyBody(), "paper": xlsm.PaperRadiation()}
ALBEDOS = {
    "constant albedo": xlsm.ConstantAlbedo(),
    "observed albedo": xlsm.ObservedAlbedo(),
    "given albedo": xlsm.GivenAlbedo(),
    "solar albedo": xlsm.SolarAlbedo(),
}
SOURCES = {"no source": (), "Qanth": ("Qanth",)}
EXCHANGES = {
    "combined": xlsm.ConstantExchange(),
    "combined wind": xlsm.WindExchange(),
    "constant": xlsm.ConstantTransfer(),
    "wind": xlsm.WindTransfer(),
    "neutral": xlsm.BulkTransfer(**BULK, stability=xlsm.Neutral()),
    "Louis": xlsm.BulkTransfer(**BULK, stability=xlsm.Louis()),
    "Monin-Obukhov": xlsm.BulkTransfer(**BULK, stability=xlsm.MoninObukhov()),
}
LATENT = {
    "no latent": xlsm.NoLatent(),
    "Bowen": xlsm.BowenRatio(),
    "resistance": xlsm.SurfaceResistance(),
    "moisture": xlsm.MoistureAvailability(),
    "Priestley-Taylor": xlsm.PriestleyTaylor(),
    "given latent": xlsm.GivenLatent(),
}
PLAIN_SOILS = {
    "uniform": xlsm.UniformSoil(),
    "layered": xlsm.LayeredSoil((0.15, math.inf)),
    "Johansen": xlsm.MoistSoil(xlsm.JohansenConductivity(), depths=(0.05, 0.3, DEPTH)),
    "Lu": xlsm.MoistSoil(xlsm.LuConductivity(), depths=(0.05, 0.3, DEPTH)),
}
SOILS = PLAIN_SOILS | {
    f"freezing {name}": xlsm.FreezingSoil(soil) for name, soil in PLAIN_SOILS.items()
}
BOTTOMS = {
    "fixed": xlsm.FixedTemperature(),
    "insulated": xlsm.ZeroFlux(),
    "followed": xlsm.ObservedBottom(DEPTH),
    "annual": xlsm.AnnualTemperature(),
}
GRIDS = {"uniform": xlsm.UniformGrid, "stretched": xlsm.StretchedGrid}
INITIALS = {
    "uniform": xlsm.UniformInitial(),
    "observed": xlsm.ObservedInitial((TOP, 0.3, DEPTH)),
    "few": xlsm.ProfileInitial((TOP, 0.3)),
    "spun up": xlsm.SpunUp(steps=2, repeats=2),
}
STEPPINGS = {
    "Euler": xlsm.BackwardEuler(),
    "Euler of means": xlsm.BackwardEuler(substeps=2, forcing_is="mean"),
    "second order": xlsm.SDIRK2(),
    "second order, twice": xlsm.SDIRK2(substeps=2),
}
SURFACE = {
    "closure": CLOSURES,
    "radiation": RADIATIONS,
    "albedo": ALBEDOS,
    "source": SOURCES,
    "exchange": EXCHANGES,
    "latent": LATENT,
}
COLUMN = {"soil": SOILS, "bottom": BOTTOMS, "grid": GRIDS, "stepping": STEPPINGS}
KINDS = SURFACE | COLUMN | {"initial": INITIALS}
ABOVE = {"radiation", "albedo", "source", "exchange", "latent"}


def unused(row):
    """Kinds that say nothing in a model: what is above a surface that is followed, for one."""
    nothing = ABOVE if row.get("closure") == "followed" else set()
    return nothing | ({"latent"} if row.get("exchange", "").startswith("combined") else set())


def fits(row):
    """Freezing soils refuse steps that mix temperatures; all else goes with all else."""
    freezing = row.get("soil", "").startswith("freezing")
    return not (freezing and row.get("stepping", "").startswith("second order"))


def covered(row):
    """Pairs of pieces that meet in a model."""
    used = sorted(set(row) - unused(row))
    return {(a, row[a], b, row[b]) for a, b in itertools.combinations(used, 2)}


def all_pairs(kinds):
    """Few models in which every two pieces of different kinds meet (greedily)."""
    open_pairs = {
        (a, one, b, other)
        for a, b in itertools.combinations(sorted(kinds), 2)
        for one, other in itertools.product(kinds[a], kinds[b])
        if fits({a: one, b: other}) and {a, b}.isdisjoint(unused({a: one, b: other}))
    }
    models = []
    while open_pairs:
        a, one, b, other = min(open_pairs)
        row = {a: one, b: other}
        for kind in sorted(kinds.keys() - row.keys()):
            rows = [row | {kind: name} for name in kinds[kind]]
            allowed = [r for r in rows if fits(r) and {a, b}.isdisjoint(unused(r))]
            row = max(allowed, key=lambda r: len(covered(r) & open_pairs))
        open_pairs -= covered(row)
        models.append(row)
    return models


def all_of(kinds, rest):
    """Every model there is of some kinds, with one choice of the others."""
    rows = [
        rest | dict(zip(kinds, names, strict=True)) for names in itertools.product(*kinds.values())
    ]
    distinct = {
        tuple(sorted((k, v) for k, v in row.items() if k not in unused(row))): row for row in rows
    }
    return [row for row in distinct.values() if fits(row)]


def words(row):
    return ", ".join(row[kind] for kind in KINDS if kind not in unused(row))


def model_of(row):
    piece = {kind: options[row[kind]] for kind, options in KINDS.items()}
    if row["closure"] == "followed":
        surface, top = xlsm.ObservedSurface("SoilTemp", TOP), TOP
    else:
        surface = piece["closure"](piece["radiation"], piece["albedo"], sources=piece["source"])
        top = 0.0
    turbulence = piece["exchange"]
    if not row["exchange"].startswith("combined"):
        turbulence = xlsm.SeparateExchange(turbulence, piece["latent"])
    first = {"first": 0.03} if row["grid"] == "stretched" else {}
    return xlsm.Model(
        grid=piece["grid"](DEPTH, 7, top=top, **first),
        soil=piece["soil"],
        surface=surface,
        turbulence=turbulence,
        bottom=piece["bottom"],
        initial=piece["initial"],
        stepping=piece["stepping"],
    )


FORCING = {
    "SWdown": [0.0, 100.0, 800.0, 300.0, 0.0],
    "LWdown": [180.0, 250.0, 400.0, 320.0, 220.0],
    "Tair": [271.0, 275.0, 304.0, 290.0, 268.0],
    "Wind": [0.0, 0.4, 12.0, 3.0, 0.0],
    "Qair": [0.001, 0.004, 0.012, 0.008, 0.002],
    "PSurf": [98e3, 98.2e3, 98.5e3, 98.4e3, 98e3],
    "Qle": [-5.0, 20.0, 250.0, 80.0, 0.0],
    "SWup": [np.nan, 20.0, np.nan, 70.0, 0.0],
    "Albedo": [0.2, 0.25, 0.18, 0.2, 0.8],
    "SolarElevation": [-20.0, 3.0, 60.0, 25.0, -1.0],
    "Qanth": [10.0, 20.0, 30.0, 20.0, 10.0],
    "YearFraction": [0.1, 0.1, 0.1, 0.1, 0.1],
    f"SoilTemp@{TOP}": [273.0, 272.5, 276.0, 279.0, 274.0],
    f"SoilTemp@{DEPTH}": [274.0, 274.1, 274.2, 274.1, 274.0],
}
MOISTURE = np.array(
    [[0.0, 0.1, 0.3], [0.05, 0.1, 0.3], [0.4, 0.4, 0.4], [0.3, 0.3, 0.3], [0.2] * 3]
)


def numbers_of(model):
    """Forcing, first profile and parameters of two stations with arrays that can be run."""
    scale = np.array([1.0, 0.97])
    forcing = {
        name: MOISTURE[..., None] * scale
        if name in model.profiles
        else np.array(FORCING[name])[:, None] * scale
        for name in model.forcing
    }
    shift = np.linspace(0, 1, STATIONS)
    values = {
        name: np.full(STATIONS, model.parameters[name].default) + 0.0 * shift
        for name in model.used(())
    }
    for name in values:
        if name.endswith("temperature") or name.startswith("initial_temperature"):
            values[name] = 274.0 + shift
    start = {}
    if model.initial.observed:
        profile = np.array([[275.0, 274.0], [274.5, np.nan], [273.0, 273.5]])
        start = model.initial.digest(model, profile)
    return forcing, start, values


def heat(model, nodes, values, forcing):
    """Heat of the soil each node owns (J m-2) but for a constant."""
    soil = model.soil
    stored = soil.capacities(model.layout, values, forcing) * nodes
    if soil.nonlinear:
        stored += soil.latent_heats(model.layout, values) * soil.liquid(nodes, values)
    return stored


def nodes_of(model, state, values, forcing):
    """Temperature of every node (K)."""
    depths = model.layout.node_depths
    return column.observe(model, values, state, forcing, model.stepper.sample(model, depths))


def closure(model):
    """What is missing in the balances of surface and column (W m-2), at every time."""
    forcing, start, values = jax.tree.map(jax.numpy.asarray, numbers_of(model))
    dt = np.float64(STEP)
    length = model.stepping.stage_length * dt

    @quick.jit
    def one_step(state, before, now):
        wet = {name: now[name] for name in model.soil.forcing}
        operator = column.prepare(model, values, dt, now)
        missing = []

        def stage(old, at):
            new = model.stepper.advance(model, values, operator, old, at)
            then, later = (nodes_of(model, state, values, at) for state in (old, new))
            gain = heat(model, later, values, wet) - heat(model, then, values, wet)
            lost = 0.0
            if model.bottom.fixed:  # what the bottom node holds is given: heat passes above it
                conductance = model.soil.conductances(model.layout, values, wet)[-1]
                lost, gain = conductance * (later[-2] - later[-1]), gain[:-1]
            missing.append(gain.sum(axis=0) / length - new.flux + lost)
            return new

        state = by_hand(model.stepping, stage, state, before, now)
        return state, jax.numpy.stack(missing + at_the_surface(model, state, values, now))

    begin = quick.jit(lambda *given: column.begin(model, values, *given, dt))
    state, missing = begin(forcing, start), []
    for before, now in zip(*(by_time(side) for side in pairs(forcing)), strict=True):
        state, lacks = one_step(state, before, now)
        missing.append(np.asarray(lacks))
    return np.stack(missing)


def at_the_surface(model, state, values, forcing):
    """What is missing where the energy is balanced, and between skin and soil."""
    if not model.surface.balanced:
        return []
    top = nodes_of(model, state, values, forcing)[0]
    return balances(model, state, top, values, forcing)


def balances(model, state, top, values, forcing):
    fluxes = model.fluxes(state.surface, forcing, values)
    down = forcing["SWdown"] + forcing["LWdown"]
    for source in model.surface.sources:
        down = down + forcing[source]
    up = fluxes["SWup"] + fluxes["LWup"] + fluxes["Qturb"]
    missing = [down - up - state.flux]
    if "Qh" in fluxes:
        missing.append(fluxes["Qh"] + fluxes["Qle"] - fluxes["Qturb"])
    resistance = model.surface.resistance(values)
    # in kelvin: the difference over a resistance that may be none
    missing.append(state.surface - top - resistance * state.flux)
    return missing


def by_time(series):
    """One mapping for each time, from a mapping of series."""
    count = len(next(iter(series.values())))
    return [{name: values[i] for name, values in series.items()} for i in range(count)]


def by_hand(stepping, stage, state, before, now):
    """The substeps of a step one after the other, so that each stage can be looked at."""

    def at(fraction):
        if stepping.forcing_is == "mean" or fraction == 1:
            return now
        return {name: before[name] + fraction * (now[name] - before[name]) for name in now}

    for i in range(stepping.substeps):
        state = stepping.substep(stage, state, at, i / stepping.substeps)
    assert isinstance(state, State)
    return state


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


def check(row):
    missing = closure(model_of(row))
    assert np.isfinite(missing).all()
    assert np.abs(missing).max() < ROUND_OFF


PAIRS = all_pairs(KINDS)
#: Compiling a model takes seconds: these are for every day, all of them for the slow tests.
EVERY_DAY = PAIRS[::8]
#: One stage a step or two, and what depends on the surface temperature: the rest is added up.
STAGES = {"stepping": ("Euler", "second order")}
BY_TEMPERATURE = {kind: SURFACE[kind] for kind in ("closure", "radiation", "exchange", "latent")}
PLAIN = {kind: next(iter(options)) for kind, options in KINDS.items()}


@pytest.mark.parametrize(
    "row",
    [pytest.param(r, marks=[] if r in EVERY_DAY else pytest.mark.slow, id=words(r)) for r in PAIRS],
)
def test_energy_closes_for_every_pair_of_pieces(row):
    check(row)


@pytest.mark.slow
@pytest.mark.parametrize("row", all_of(COLUMN | STAGES, PLAIN), ids=words)
def test_energy_closes_for_every_column(row):
    check(row)


@pytest.mark.slow
@pytest.mark.parametrize("row", all_of(BY_TEMPERATURE, PLAIN), ids=words)
def test_energy_closes_for_every_surface(row):
    """Whatever the column answers: nothing, little or much, a cold one or a hot one."""
    model = model_of(row)
    if not model.surface.balanced:
        return
    forcing, _, values = jax.tree.map(jax.numpy.asarray, numbers_of(model))
    offset = np.array([250.0, 290.0])
    slope = np.array([1e-3, 0.3])

    @quick.jit
    def missing(now):
        surface, flux = model.close_surface(values, now, offset, slope, offset)
        state = State(offset + slope * flux, surface, flux)
        return jax.numpy.stack(balances(model, state, state.columns, values, now))

    for now in by_time(forcing):
        lacks = np.asarray(missing(now))
        assert np.isfinite(lacks).all()
        assert np.abs(lacks).max() < ROUND_OFF


def test_pieces_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="BackwardEuler"):
        model_of(PLAIN | {"soil": "freezing uniform", "stepping": "second order"})


def test_every_piece_is_in_the_table():
    known = {name for name in xlsm.__all__ if issubclass_of_piece(getattr(xlsm, name))}
    used = set()
    for row in all_pairs(KINDS):
        text = model_of(row).to_json()
        used |= {name for name in known if f'"{name}"' in text}
    # grids that become one of the others once the data are known, and solvers asked for by name
    assert known - used == {"AutoGrid", "SensorGrid", "Jacobi", "Tridiagonal", "Modal", "Enthalpy"}


def issubclass_of_piece(thing):
    return isinstance(thing, type) and issubclass(thing, Piece)
