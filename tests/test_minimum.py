"""What is called converged is a minimum, also where the model cannot fit and bounds are met."""

import numpy as np
import pytest
import xarray as xr

import xlsm
from xlsm import tutorial

# stations at a bound or without an estimate are the subject here
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

FREE = (
    "albedo",
    "thermal_conductivity",
    "heat_capacity",
    "combined_transfer_coefficient",
    "deep_temperature",
)
OBSERVED = {"SoilTemp": 0.3}


@pytest.fixture(scope="module")
def shifted():
    """Stations whose radiation is six hours off, as after mistaking local time for UTC."""
    ds = tutorial.network(12, 3)
    return ds.assign(SWdown=ds.SWdown.roll(time=12))


def test_starting_again_at_the_end_gains_nothing(shifted):
    est = shifted.lsm.estimate(FREE, observed=OBSERVED)
    assert (est.status <= xlsm.Status.at_bound).sum() >= 10
    known = xlsm.Model().parameters
    again = shifted.lsm.estimate(
        {
            name: xlsm.Parameter(initial=est[name].fillna(known[name].default).drop_attrs())
            for name in FREE
        },
        observed=OBSERVED,
    )
    gained = (est.cost - again.cost) / est.cost
    assert (gained.fillna(0) < 1e-6).all()


def test_small_disturbances_lead_nowhere_better(shifted):
    """Around the end of a converged station the cost, by the forward model alone, is higher."""
    est = shifted.lsm.estimate(FREE, observed=OBSERVED)
    bounds = {name: xlsm.Model().parameters[name].bounds for name in FREE}

    def cost(parameters):
        residual = shifted.lsm.simulate(parameters).SoilTemp - shifted.SoilTemp
        return 0.5 * ((residual / OBSERVED["SoilTemp"]) ** 2).sum(("time", "depth"))

    best = cost(est)
    xr.testing.assert_allclose(best.where(est.cost.notnull()), est.cost, rtol=1e-9)
    for name in FREE:
        lower, upper = bounds[name]
        for factor in (0.98, 1.02):
            moved = est.assign({name: (est[name] * factor).clip(lower, upper)})
            # an end at a bound is a little inside of it, and may be moved onto it
            worse = cost(moved) >= best * (1 - 1e-3)
            assert worse.where(est.albedo.notnull(), True).all(), name


@pytest.mark.parametrize("name", ["SWdown", "SoilTemp"])
def test_fill_values_are_flagged_and_alone(name):
    ds = tutorial.network(4, 2)
    known = {"fixed": {"emissivity": 0.95}, "observed": {"SoilTemp": 0.1}}
    clean = ds.lsm.estimate(["albedo"], **known)
    spoilt = ds.copy(deep=True)
    spoilt[name][1, 30] = -9999.0
    est = spoilt.lsm.estimate(["albedo"], **known)
    assert est.status[1] == xlsm.Status.implausible_values
    assert np.isnan(est.albedo[1])
    others = [0, 2, 3]
    assert est.albedo[others].equals(clean.albedo[others])
    row = spoilt.lsm.check().set_index("variable").loc[name]
    assert "are outside" in row.problem
    assert "'station': 1, 'time': 30" in row.problem
    if name == "SWdown":
        sim = spoilt.lsm.simulate()
        assert np.isnan(sim.Qg[1, 30:]).all()
        assert np.isfinite(sim.Qg[1, :30]).all()


def test_fixed_must_be_a_mapping():
    ds = tutorial.network(1, 1)
    with pytest.raises(xlsm.errors.ParameterError, match="fixed must map names to values"):
        ds.lsm.estimate("albedo", fixed=["emissivity"])


@pytest.mark.parametrize(
    ("free", "solver"),
    [
        (["albedo"], "modal"),
        (["thermal_conductivity"], "tridiagonal"),
        pytest.param(["albedo"], "tridiagonal", marks=pytest.mark.slow),
        pytest.param(["thermal_conductivity"], "modal", marks=pytest.mark.slow),
    ],
)
def test_one_kind_of_parameter_alone(free, solver):
    """All free parameters change the coefficients of a step, or none does."""
    ds = tutorial.open_dataset("huang2025")
    truth = tutorial.truth(ds)
    model = xlsm.Model(surface=xlsm.BareSurface(xlsm.PaperRadiation()), solver=solver)
    est = ds.lsm.estimate(free, observed={"SoilTemp": 0.1}, fixed=truth, model=model)
    assert est.status == xlsm.Status.converged
    np.testing.assert_allclose(est[free[0]], truth[free[0]], rtol=1e-8)
