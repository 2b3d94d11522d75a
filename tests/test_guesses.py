"""Free diffusivities start where the classical estimator says, unless told otherwise."""

import numpy as np
import pytest
import xarray as xr

import xlsm
from xlsm import Parameter
from xlsm.guesses import with_classical_guesses

KAPPA = 7e-7


def waves(depths=(0.05, 0.1, 0.3), days=4):
    """Soil temperatures of a daily wave going down."""
    seconds = np.arange(days * 48 + 1) * 1800.0
    omega = 2 * np.pi / 86400
    decay = np.sqrt(omega / (2 * KAPPA))
    z = np.array(depths)
    soil = 290 + 8 * np.exp(-decay * z) * np.sin(omega * seconds[:, None] - decay * z)
    time = np.datetime64("2020-06-01") + (seconds * 1e9).astype("timedelta64[ns]")
    return xr.Dataset({"SoilTemp": (("time", "depth"), soil)}, {"time": time, "depth": z})


def guess(ds, name="thermal_diffusivity", treatment=None, model=None):
    wanted = {name: treatment or Parameter()}
    return with_classical_guesses(wanted, ds, model or xlsm.Model())[name]


def test_the_guess_is_the_diffusivity_of_the_waves():
    assert float(guess(waves()).initial) == pytest.approx(KAPPA, rel=1e-3)


def test_all_layers_start_from_it():
    model = xlsm.Model(soil=xlsm.LayeredSoil((0.2, np.inf)))
    for name in ("thermal_diffusivity_1", "thermal_diffusivity_2"):
        assert float(guess(waves(), name, model=model).initial) == pytest.approx(KAPPA, rel=1e-3)


def test_what_the_caller_says_stands():
    assert guess(waves(), treatment=Parameter(initial=2e-7)).initial == 2e-7
    inside = guess(waves(), treatment=Parameter(bounds=(1e-7, 5e-7)))
    assert 4e-7 < float(inside.initial) < 5e-7
    assert inside.bounds == (1e-7, 5e-7)
    assert guess(waves(), "albedo") == Parameter()


@pytest.mark.parametrize(
    "ds", [waves(depths=(0.1,)), waves(days=0), xr.Dataset()], ids=["one depth", "short", "none"]
)
def test_without_waves_the_default_stands(ds):
    assert guess(ds) == Parameter()


def test_a_dead_station_has_the_default_and_leaves_the_others_alone():
    both = xr.concat([waves(), waves() * np.nan], "station", join="override")
    initial = guess(both).initial
    assert float(initial[0]) == float(guess(waves()).initial)
    assert float(initial[1]) == xlsm.Model().parameters["thermal_diffusivity"].default


def test_lazy_data_are_not_looked_at():
    lazy = xr.concat([waves(), waves()], "station", join="override").chunk(station=1)
    initial = guess(lazy).initial
    assert initial.chunks is not None
    np.testing.assert_allclose(initial.compute(), float(guess(waves()).initial))
