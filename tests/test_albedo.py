"""What the surface reflects: constant, observed, given, or by the height of the sun."""

import dataclasses

import jax
import numpy as np
import pytest
import xarray as xr
from twins import forcing, twin

import xlsm
from xlsm.errors import MissingVariableError, ParameterError

PLACE = {"latitude": 40.0, "longitude": -88.3}
GRID = xlsm.UniformGrid(depth=0.5, nodes=11)


def model(albedo):
    return xlsm.Model(grid=GRID, surface=xlsm.BareSurface(albedo=albedo))


def closes(sim, ds):
    """Energy at the surface, which must vanish (W m-2)."""
    return ds.SWdown - sim.SWup + ds.LWdown - sim.LWup - sim.Qturb - sim.Qg


def test_what_was_observed_is_reflected_and_gaps_take_the_albedo():
    ds = forcing()
    seen = 0.31 * ds.SWdown
    ds["SWup"] = seen.where(ds.SWdown > 300)
    sim = ds.lsm.simulate({"albedo": 0.17}, model=model(xlsm.ObservedAlbedo()))
    expected = xr.where(ds.SWdown > 300, seen, 0.17 * ds.SWdown)
    np.testing.assert_array_equal(sim.SWup, expected)
    np.testing.assert_allclose(closes(sim, ds), 0, atol=1e-10)


def test_a_gap_in_what_was_reflected_does_not_stop_an_estimate():
    ds = twin(depth=[0.05], outputs=("SoilTemp", "LWup"))
    ds["SWup"] = (0.2 * ds.SWdown).where(ds.SWdown > 0)
    est = ds.lsm.estimate(
        "combined_transfer_coefficient", observed="LWup", model=model(xlsm.ObservedAlbedo())
    )
    assert int(est.status) == 0
    assert np.isfinite(est.combined_transfer_coefficient_std)


def test_what_is_followed_is_no_observation():
    ds = twin(depth=[0.05], outputs=("SoilTemp", "LWup", "SWup"))
    observed = model(xlsm.ObservedAlbedo())
    est = ds.lsm.estimate("combined_transfer_coefficient", model=observed)
    assert "residual_std_SWup" not in est
    with pytest.raises(ParameterError, match="SWup cannot be observed by a model that is told"):
        ds.lsm.estimate("combined_transfer_coefficient", observed="SWup", model=observed)


def test_a_constant_series_is_a_constant_albedo():
    ds = forcing(stations=2)
    ds["Albedo"] = xr.full_like(ds.SWdown, 23.0).assign_attrs(units="percent")
    given = ds.lsm.simulate(model=model(xlsm.GivenAlbedo()))
    constant = ds.lsm.simulate({"albedo": 0.23}, model=model(xlsm.ConstantAlbedo()))
    np.testing.assert_allclose(given.SoilTemp, constant.SoilTemp, rtol=1e-12)
    assert "albedo" not in model(xlsm.GivenAlbedo()).parameters
    with pytest.raises(MissingVariableError, match=r"Albedo is not in the Dataset.*BareSurface"):
        ds.drop_vars("Albedo").lsm.simulate(model=model(xlsm.GivenAlbedo()))


def test_a_low_sun_is_reflected_more():
    ds = forcing().assign_coords(PLACE)
    height = xr.DataArray(np.linspace(0, 90, ds.sizes["time"]), dims="time")
    ds["SolarElevation"] = height
    ds["SWdown"] = xr.full_like(ds.SWdown, 400.0)
    sun = model(xlsm.SolarAlbedo())
    sim = ds.lsm.simulate({"albedo": 0.2, "albedo_sun_dependence": 0.4}, model=sun)
    share = (sim.SWup / ds.SWdown).values
    np.testing.assert_allclose(share[[0, -1]], [0.2 * 1.4, 0.2 * 1.4 / 1.8])
    assert np.interp(30, height, share) == pytest.approx(0.2, rel=1e-3)
    assert (np.diff(share) < 0).all()
    flat = ds.lsm.simulate({"albedo": 0.2, "albedo_sun_dependence": 0.0}, model=sun)
    np.testing.assert_allclose(flat.SWup, 0.2 * ds.SWdown)
    bright = ds.lsm.simulate({"albedo": 0.9, "albedo_sun_dependence": 2.0}, model=sun)
    assert float((bright.SWup / ds.SWdown).max()) == 1.0


def test_the_sun_comes_from_time_and_place():
    ds = forcing().assign_coords(PLACE)
    values = {"albedo": 0.2, "albedo_sun_dependence": 1.0}
    sim = ds.lsm.simulate(values, model=model(xlsm.SolarAlbedo()))
    stepping = xlsm.BackwardEuler(forcing_is="mean")
    mean = dataclasses.replace(model(xlsm.SolarAlbedo()), stepping=stepping)
    half_a_step_earlier = ds.assign_coords(time=ds.time - np.timedelta64(30, "m"))
    earlier = half_a_step_earlier.lsm.simulate(values, model=model(xlsm.SolarAlbedo()))
    np.testing.assert_allclose(ds.lsm.simulate(values, model=mean).SWup, earlier.SWup, rtol=1e-9)
    assert not np.allclose(sim.SWup, earlier.SWup)
    with pytest.raises(MissingVariableError, match=r"no latitude.*assign_coords"):
        forcing().lsm.simulate(model=model(xlsm.SolarAlbedo()))


def test_dependence_on_the_sun_is_recovered():
    ds = forcing().assign_coords(PLACE)
    sun = model(xlsm.SolarAlbedo())
    truth = {"albedo": 0.22, "albedo_sun_dependence": 0.3}
    ds["SWup"] = ds.lsm.simulate(truth, model=sun).SWup
    est = ds.lsm.estimate(list(truth), observed="SWup", model=sun)
    for name, value in truth.items():
        assert float(est[name]) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    "piece", [xlsm.ConstantAlbedo(), xlsm.ObservedAlbedo(), xlsm.SolarAlbedo()], ids=repr
)
def test_derivatives_are_right_and_finite(piece):
    forced = {
        "SWdown": np.array([0.0, 500.0, 800.0, 100.0]),
        "SWup": np.array([np.nan, 90.0, np.nan, np.nan]),
        "SolarElevation": np.array([-30.0, 0.0, 90.0, 5.0]),
    }
    at = {spec.name: np.full(4, 0.3) for spec in piece.parameters}
    with jax.enable_x64(True):

        def total(values):
            return piece.reflected(forced, values).sum()

        gradient = jax.grad(total)(at)
        for name, value in at.items():
            up, down = (total(at | {name: value + shift}) for shift in (1e-6, -1e-6))
            assert np.isfinite(gradient[name]).all()
            difference = float(up - down) / 2e-6
            assert float(gradient[name].sum()) == pytest.approx(difference, rel=1e-6, abs=1e-6)
