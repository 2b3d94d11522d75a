"""Every bad input is refused with a message that helps, and no good one is."""

import re

import cftime
import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xlsm import models
from xlsm.check import check
from xlsm.errors import (
    DimensionError,
    LSMError,
    MissingVariableError,
    ModelError,
    ParameterError,
    TimeAxisError,
    UnitsError,
)
from xlsm.validate import (
    check_core_dims,
    check_depths_in_column,
    depths,
    find_variable,
    in_canonical_units,
    observed_errors,
    parameter_values,
    read_variable,
    time_step,
)
from xlsm.variables import OBSERVABLES

MODEL = models.default()


def refuses(error, *words):
    """Expect an error whose message holds all the words, in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(word) for word in words))


def good(times=6, stations=2):
    """Make forcing and observations with nothing wrong."""
    shape = (stations, times)
    dims = ("station", "time")
    return xr.Dataset(
        {
            "SWdown": (dims, np.full(shape, 300.0), {"units": "W m-2"}),
            "LWdown": (dims, np.full(shape, 300.0), {"units": "W m-2"}),
            "Tair": (dims, np.full(shape, 295.0), {"units": "K"}),
            "LWup": (dims, np.full(shape, 420.0), {"units": "W m-2"}),
            "SoilTemp": ((*dims, "depth"), np.full((*shape, 2), 290.0), {"units": "K"}),
        },
        coords={
            "time": pd.date_range("2012-05-01", periods=times, freq="30min"),
            "depth": ("depth", [0.0, 0.05], {"units": "m", "positive": "down"}),
        },
    )


def raising_scheduler(dsk, keys, **kwargs):
    raise AssertionError("something was computed")


# ---------------------------------------------------------------------------- names


def test_missing_variable_names_what_was_looked_for_and_what_is_there():
    with refuses(
        MissingVariableError,
        "Tair is not in the Dataset",
        "standard_name air_temperature, units K",
        "There is: SWdown, LWdown, LWup, SoilTemp.",
        "Nothing there looks like it",
    ):
        find_variable(good().drop_vars("Tair"), "Tair")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Tair", "tair"),
        ("Tair", "Tair_C"),
        ("Tair", "TA_F"),
        ("SWdown", "SW_IN_1_1_1"),
        ("LWdown", "rlds"),
        ("SoilTemp", "TS_1"),
        ("Qle", "LE"),
    ],
)
def test_missing_variable_suggests_near_match(name, near):
    ds = good().drop_vars(name, errors="ignore").assign({near: ("time", np.zeros(6))})
    with refuses(MissingVariableError, f"ds.rename({{'{near}': '{name}'}})"):
        find_variable(ds, name)


def test_missing_variable_suggests_same_standard_name():
    ds = good().rename(Tair="x")
    ds["x"].attrs["standard_name"] = "air_temperature"
    with refuses(MissingVariableError, "ds.rename({'x': 'Tair'})"):
        find_variable(ds, "Tair")


def test_missing_variable_gives_several_near_matches_and_no_known_name():
    ds = good().drop_vars("SoilTemp").assign(TS_1=("time", [0.0] * 6), TS_2=("time", [0.0] * 6))
    with refuses(MissingVariableError, "Near matches are 'TS_1', 'TS_2'"):
        find_variable(ds, "SoilTemp")
    with refuses(MissingVariableError, "Nothing there looks like it"):
        find_variable(good(), "SWup")  # SWdown and LWup are near in letters only


def test_missing_variable_in_an_empty_or_a_large_dataset():
    with refuses(MissingVariableError, "There is: no data variable."):
        find_variable(xr.Dataset(), "Qanth")
    with refuses(MissingVariableError, "v29, ..."):
        find_variable(xr.Dataset({f"v{i}": 0 for i in range(99)}), "Tair")


# ---------------------------------------------------------------------------- units


@pytest.mark.parametrize(
    ("name", "units", "value", "canonical"),
    [
        *(
            ("Tair", units, 20.0, 293.15)
            for units in (
                "degC",
                "deg_C",
                "deg C",
                "degree_C",
                "degrees_C",
                "Celsius",
                "celsius",
                "degree_Celsius",
                "degrees Celsius",
                "°C",
                "C",
            )
        ),
        ("Tair", "degF", 68.0, 293.15),
        *(("Tair", units, 293.0, 293.0) for units in ("K", "kelvin", "Kelvin", "degK")),
        *(("PSurf", units, 1000.0, 1e5) for units in ("hPa", "mbar", "mb", "millibar")),
        ("PSurf", "kPa", 100.0, 1e5),
        *(
            ("Rainf", units, 86.4, 1e-3)
            for units in ("mm/day", "mm d-1", "mm day-1", "kg m-2 d-1", "kg m-2 day-1")
        ),
        ("Rainf", "mm hr-1", 3.6, 1e-3),
        ("Rainf", "mm s-1", 1e-3, 1e-3),
        ("Rainf", "kg/m2/s", 1e-3, 1e-3),
        *(
            ("SWdown", units, 500.0, 500.0)
            for units in ("W m-2", "W/m^2", "W/m2", "W m**-2", "W m^-2", "Watts m-2", "J s-1 m-2")
        ),
        ("SWdown", "kW m-2", 0.5, 500.0),
        ("Qair", "kg kg-1", 0.01, 0.01),
        ("Qair", "g kg-1", 10.0, 0.01),
        ("Qair", "1", 0.01, 0.01),
        *(("SoilMoist", units, 25.0, 0.25) for units in ("%", "percent")),
        *(
            ("SoilMoist", units, 0.25, 0.25)
            for units in ("m3 m-3", "m3/m3", "1", "-", "fraction", "unitless")
        ),
        ("Wind", "km/h", 36.0, 10.0),
        ("Wind", "m s-1", 10.0, 10.0),
    ],
)
def test_units_are_converted(name, units, value, canonical):
    da = xr.DataArray([value], dims="time", attrs={"units": units, "note": "kept"})
    before = da.copy(deep=True)
    converted = in_canonical_units(da, name)
    np.testing.assert_allclose(converted, canonical, rtol=1e-12)
    assert converted.attrs == {"units": converted.attrs["units"], "note": "kept"}
    xr.testing.assert_identical(da, before)


@pytest.mark.parametrize("dtype", ["int16", "int64", "uint8", "float32", "float64"])
def test_numbers_become_float64(dtype):
    da = xr.DataArray(np.array([20, 21], dtype), dims="time", attrs={"units": "degC"})
    converted = in_canonical_units(da, "Tair")
    assert converted.dtype == np.float64
    np.testing.assert_allclose(converted, [293.15, 294.15], rtol=1e-15)


@pytest.mark.parametrize("attrs", [{}, {"units": ""}, {"units": " "}])
def test_missing_units_are_taken_as_canonical(attrs):
    da = xr.DataArray([293.0], dims="time", attrs=attrs)
    assert in_canonical_units(da, "Tair").item() == 293.0
    assert in_canonical_units(da, "Tair").attrs["units"] == "K"
    with refuses(UnitsError, "Tair cannot be in K: its median is 20", "looks like degC"):
        read_variable(xr.Dataset({"Tair": da - 273}), "Tair")


@pytest.mark.parametrize(
    "units", ["W m-2", "umol m-2 s-1", "mm", "1", "days since 2000-01-01", "banana", "(", "K)", 5]
)
def test_units_that_cannot_be_converted_are_named(units):
    da = xr.DataArray([1.0], dims="time", attrs={"units": units})
    with refuses(UnitsError, "Tair: units", str(units), "'K'", "ds['Tair'].attrs['units']"):
        in_canonical_units(da, "Tair")


@pytest.mark.parametrize("values", [["a"], [True], [1j], np.array(["2012"], "datetime64[D]"), [{}]])
def test_values_must_be_numbers(values):
    with refuses(UnitsError, "Tair must hold real numbers, but its dtype is"):
        in_canonical_units(xr.DataArray(values, dims="time"), "Tair")


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("Tair", 20.0, ["looks like degC: set ds['Tair'].attrs['units'] = 'degC'"]),
        ("SoilTemp", 20.0, ["looks like degC"]),
        ("Tair", 78.0, ["looks like degF"]),
        ("PSurf", 1013.0, ["looks like hPa"]),
        ("PSurf", 101.3, ["looks like kPa"]),
        ("Qair", 10.0, ["looks like g kg-1"]),
        ("SoilMoist", 25.0, ["looks like percent"]),
        ("LWdown", -300.0, ["sign looks reversed", "positive down"]),
        ("LWup", -400.0, ["sign looks reversed", "positive up"]),
        ("Tair", -9999.0, ["Check ds['Tair']"]),
    ],
)
def test_values_that_cannot_be_what_they_claim_are_refused_by_name(name, value, cause):
    da = xr.DataArray([value, value - 1, value + 1, np.nan, np.inf], dims="time")
    words = [f"{name} cannot be in", f"median is {value:g}", f"from {value - 1:g} to {value + 1:g}"]
    with refuses(UnitsError, *words, "plausible is", *cause):
        read_variable(xr.Dataset({name: da}), name)


def test_one_bad_station_is_not_refused():
    ds = good(stations=3)
    ds["Tair"][1] = 20.0
    assert read_variable(ds, "Tair").shape == (3, 6)


def test_all_missing_is_not_refused():
    ds = good()
    ds["Tair"] = ds["Tair"] * np.nan
    assert read_variable(ds, "Tair").isnull().all()


def test_lazy_stays_lazy_and_input_unchanged():
    ds = good()
    ds["Tair"] = (ds["Tair"] - 273.15).astype("float32").assign_attrs(units="degC")
    lazy = ds.chunk(station=1)
    with dask.config.set(scheduler=raising_scheduler):
        tair = read_variable(lazy, "Tair")
        parameter_values({"albedo": lazy["Tair"].isel(time=0, drop=True).drop_attrs()}, MODEL)
    assert tair.chunks == ((1, 1), (6,))
    assert lazy["Tair"].attrs["units"] == "degC"
    np.testing.assert_allclose(tair, 295.0, rtol=1e-6)


# ---------------------------------------------------------------------------- dimensions


def test_wrong_dims_are_named():
    with refuses(DimensionError, "Tair has no dimension 'time'; it has ('hour',)", "ds.rename"):
        check_core_dims(xr.DataArray([1.0], dims="hour"), "Tair")
    with refuses(DimensionError, "Tair has a dimension 'depth'", "isel(depth=0)"):
        check_core_dims(good()["SoilTemp"], "Tair")
    check_core_dims(good()["SoilTemp"], "SoilTemp")
    check_core_dims(good()["SoilTemp"].transpose("depth", "time", "station"), "SoilTemp")
    check_core_dims(good()["SoilTemp"].isel(depth=0), "SoilTemp")


@pytest.mark.parametrize("dim", ["time", "depth"])
def test_chunks_of_core_dims_are_put_together(dim):
    read = read_variable(good().chunk({dim: 1, "station": 1}), "SoilTemp")
    assert read.chunksizes["station"] == (1, 1)
    assert len(read.chunksizes[dim]) == 1
    np.testing.assert_array_equal(read, good().SoilTemp)
    assert check(good().chunk({dim: 1})).problem.eq("").all()


# ---------------------------------------------------------------------------- time


def with_times(*times):
    return xr.Dataset(coords={"time": np.array(times, "datetime64[s]")})


def test_time_step():
    assert time_step(good()) == 1800.0
    assert time_step(good(times=1)) == 1.0
    hours = np.arange(4) * np.timedelta64(90, "s")
    assert time_step(xr.Dataset(coords={"time": hours})) == 90.0
    for calendar in ("noleap", "360_day", "julian"):
        times = xr.date_range("2012-02-27", periods=5, freq="h", calendar=calendar, use_cftime=True)
        assert time_step(xr.Dataset(coords={"time": times})) == 3600.0


def test_jitter_of_decoded_times_is_no_irregularity():
    days = np.arange(48) / 48 + 15000
    ds = xr.Dataset(coords={"time": ("time", days, {"units": "days since 1970-01-01"})})
    assert time_step(xr.decode_cf(ds)) == pytest.approx(1800.0, abs=1e-3)


@pytest.mark.parametrize(
    ("ds", "words"),
    [
        (xr.Dataset(coords={"t": [0, 1]}), ["no coordinate 'time'", "['t']", "ds.rename"]),
        (xr.Dataset({"Tair": ("time", [1.0])}), ["no coordinate 'time'", "{'time': 1}", "assign"]),
        (xr.Dataset(coords={"time": pd.Timestamp("2012-05-01")}), ["expand_dims('time')"]),
        (xr.Dataset(coords={"time": ("x", [1, 2])}), ["one dimension 'time'", "('x',)"]),
        (xr.Dataset(coords={"time": [0, 1, 2]}), ["int64", "xr.decode_cf(ds)"]),
        (xr.Dataset(coords={"time": ["a", "b"]}), ["not times", "xr.decode_cf(ds)"]),
        (
            xr.Dataset(coords={"time": np.array([cftime.datetime(2012, 1, 1), None])}),
            ["time[1] is None, not a time"],
        ),
        (with_times(), ["is empty"]),
        (with_times("2012-05-01", "NaT", "2012-05-02"), ["time[1] is NaT", "notnull()"]),
        (
            with_times("2012-05-01", "2012-05-03", "2012-05-02"),
            [
                "not sorted",
                "from time[1] = 2012-05-03T00:00:00 to time[2] = 2012-05-02",
                "ds.sortby('time')",
            ],
        ),
        (
            with_times("2012-05-01", "2012-05-01", "2012-05-02", "2012-05-02"),
            [
                "duplicated",
                "time[0] = 2012-05-01",
                "time[1] = 2012-05-01",
                "and 1 more",
                "drop_duplicates('time')",
            ],
        ),
        (
            with_times("2012-05-01", "2012-05-02", "2012-05-03", "2012-05-05", "2012-05-06"),
            [
                "not regular",
                "from time[2] = 2012-05-03",
                "to time[3] = 2012-05-05",
                "is 172800 s where the usual step is 86400 s",
                "resample(time='86400s').asfreq()",
            ],
        ),
    ],
)
def test_bad_time_axis_says_where_and_what_to_do(ds, words):
    with refuses(TimeAxisError, *words):
        time_step(ds)
    row = check(ds).set_index("variable").loc["time"]
    assert words[0] in row["problem"]


def test_the_cures_for_time_work():
    ds = good()
    shuffled = ds.isel(time=[0, 3, 1, 5, 2, 4])
    assert time_step(shuffled.sortby("time")) == 1800.0
    assert time_step(ds.isel(time=[0, 0, 1, 2]).drop_duplicates("time")) == 1800.0
    gap = ds.isel(time=[0, 1, 2, 5])
    assert time_step(gap.resample(time="1800s").asfreq()) == 1800.0


# ---------------------------------------------------------------------------- depth


def at(depth, units="m", **attrs):
    if np.ndim(depth) == 0:
        coordinate = ((), depth, {"units": units, **attrs})
        return xr.DataArray([290.0], dims="time", coords={"depth": coordinate})
    coordinate = ("depth", depth, {"units": units, **attrs})
    return xr.DataArray(np.zeros((1, len(depth))), {"depth": coordinate}, ("time", "depth"))


def test_depths():
    np.testing.assert_array_equal(depths(at([0.1, 0.0]), "SoilTemp"), [0.1, 0.0])
    np.testing.assert_allclose(depths(at([5, 20], "cm"), "SoilTemp"), [0.05, 0.2])
    np.testing.assert_array_equal(depths(at(0.05), "SoilTemp"), [0.05])
    unlabelled = at([0.05])
    del unlabelled["depth"].attrs["units"]
    np.testing.assert_array_equal(depths(unlabelled, "SoilTemp"), [0.05])


@pytest.mark.parametrize(
    ("da", "error", "words"),
    [
        (
            xr.DataArray([[1.0]], dims=("time", "depth")),
            DimensionError,
            ["SoilTemp has no coordinate 'depth'", "assign_coords(depth="],
        ),
        (at([-0.05, -0.1]), DimensionError, ["-0.05", 'positive="down"', "-ds.depth"]),
        (at([0.05], positive="up"), DimensionError, ["positive='up'", 'positive="down"']),
        (at([0.05, np.nan]), DimensionError, ["not finite", "notnull()"]),
        (at([0.05, 0.05, 0.1]), DimensionError, ["duplicates: [0.05] m", "drop_duplicates"]),
        (at([0.05], "K"), UnitsError, ["depth: units 'K'", "'m'"]),
        (at(["5cm"]), UnitsError, ["depth must hold real numbers"]),
        (
            at([0.05]).assign_coords(depth=(("time", "depth"), [[0.05]])),
            DimensionError,
            ["must be a scalar or have the one dimension 'depth'", "('time', 'depth')"],
        ),
    ],
)
def test_bad_depths_are_refused(da, error, words):
    with refuses(error, *words):
        depths(da, "SoilTemp")
    row = check(xr.Dataset({"SoilTemp": da})).set_index("variable").loc["depth"]
    assert words[0] in row["problem"]


def test_the_cure_for_negative_depths_works():
    ds = xr.Dataset({"SoilTemp": at([-5.0, -10.0], "cm")})
    cured = ds.assign_coords(depth=("depth", -ds.depth.values, {"units": "cm", "positive": "down"}))
    np.testing.assert_allclose(depths(cured["SoilTemp"], "SoilTemp"), [0.05, 0.1])


def test_depths_below_the_column_are_refused():
    check_depths_in_column(np.array([0.0, 1.0]), 1.0)
    with refuses(DimensionError, "Depths [5.] m", "below the bottom", "1 m", "'cm'", "deeper grid"):
        check_depths_in_column(np.array([0.05, 5.0]), 1.0)


# ---------------------------------------------------------------------------- parameters


def test_parameters_are_taken_checked_and_converted():
    assert parameter_values(None, MODEL) == {}
    stations = xr.DataArray([20.0, np.nan], dims="station", attrs={"units": "degC"})
    heat = xr.DataArray(2.2, attrs={"units": "MJ m-3 K-1"})
    got = parameter_values(
        {"albedo": 0, "deep_temperature": stations, "heat_capacity": heat}, MODEL
    )
    assert list(got) == ["albedo", "deep_temperature", "heat_capacity"]
    assert all(da.dtype == np.float64 for da in got.values())
    np.testing.assert_allclose(got["deep_temperature"], [293.15, np.nan])
    np.testing.assert_allclose(got["heat_capacity"], 2.2e6)
    assert stations.attrs["units"] == "degC"
    assert got["albedo"].attrs["units"] == "1"


def test_parameters_may_be_an_estimate():
    est = xr.Dataset(
        {
            "albedo": ("station", [0.2, np.nan]),
            "albedo_std": ("station", [0.01, np.nan]),
            "covariance": (("parameter", "parameter_"), [[1.0]]),
            "status": ("station", np.array([0, 1], "int8")),
        }
    )
    assert list(parameter_values(est, MODEL)) == ["albedo"]
    with refuses(ParameterError, "Dataset of parameters has none", "status", "albedo"):
        parameter_values(est[["status"]], MODEL)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Albedo", "albedo"),
        ("albeda", "albedo"),
        ("alpha", "albedo"),
        ("thermal_conductvity", "thermal_conductivity"),
        ("lambda", "thermal_conductivity"),
        ("kappa", "thermal_diffusivity"),
        ("k", "thermal_conductivity"),
        ("C", "heat_capacity"),
        ("H", "combined_transfer_coefficient"),
        ("h", "heat_transfer_coefficient"),
        ("beta", "bowen_ratio"),
        ("T_deep", "deep_temperature"),
        ("tdeep", "deep_temperature"),
        ("emiss", "emissivity"),
        ("eps", "emissivity"),
    ],
)
def test_wrong_parameter_name_suggests_the_right_one(wrong, right):
    with refuses(ParameterError, f"{wrong!r} is no parameter", f"Did you mean {right!r}"):
        parameter_values({wrong: 0.5}, MODEL)


def test_hopeless_parameter_name_lists_all():
    with refuses(ParameterError, "'zzz' is no parameter of the model. Parameters are albedo,"):
        parameter_values({"zzz": 0.5}, MODEL)


def test_contradictory_parameters_are_refused():
    both = {"combined_transfer_coefficient": 20, "heat_transfer_coefficient": 10}
    with refuses(ParameterError, "combined_transfer_coefficient", "heat_transfer_coefficient"):
        parameter_values({**both, "bowen_ratio": 1}, MODEL)
    with refuses(ParameterError, "heat_transfer_coefficient", "bowen_ratio"):
        parameter_values({"heat_transfer_coefficient": 10}, MODEL)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"albedo": 1.2}, ["albedo = 1.2 is outside its bounds, 0 to 1."]),
        ({"albedo": -0.1}, ["albedo = -0.1 is outside"]),
        ({"albedo": 20}, ["albedo = 20 is outside", "in percent"]),
        ({"deep_temperature": 20}, ["deep_temperature = 20", "220 to 340 K", "in degC"]),
        ({"heat_capacity": 2.2}, ["heat_capacity = 2.2", "in MJ m-3 K-1"]),
        ({"heat_capacity": np.inf}, ["heat_capacity = inf"]),
        (
            {"albedo": xr.DataArray([0.1, 7.0, np.nan, 8.0], dims="station")},
            ["albedo = 7 (and 1 more of 4 values)"],
        ),
        ({"albedo": "0.2"}, ["albedo must be a number", "'0.2'"]),
        ({"albedo": None}, ["albedo must be a number"]),
        ({"albedo": True}, ["albedo must be a number"]),
        ({"albedo": xr.DataArray(["a"], dims="station")}, ["albedo must be a number", "dtype"]),
        ({"albedo": [0.1, 0.2]}, ["shape (2,)", "xr.DataArray(albedo, dims='station')"]),
        (
            {"heat_capacity": xr.DataArray([1e6, 2e6], dims="depth")},
            ["heat_capacity varies with 'depth'", "uniform"],
        ),
    ],
)
def test_bad_parameter_values_are_refused(given, words):
    with refuses(ParameterError, *words):
        parameter_values(given, MODEL)


def test_parameter_in_units_that_do_not_convert_is_refused():
    with refuses(UnitsError, "albedo: units 'K' cannot be converted to '1'"):
        parameter_values({"albedo": xr.DataArray(0.2, attrs={"units": "K"})}, MODEL)


# ---------------------------------------------------------------------------- observations


def test_observed_errors():
    ds = good()
    assert observed_errors(None, ds) == {"SoilTemp": 0.2, "LWup": 5.0}
    assert observed_errors("LWup", ds) == {"LWup": 5.0}
    assert observed_errors(["LWup", "SoilTemp", "LWup"], ds) == {"LWup": 5.0, "SoilTemp": 0.2}
    assert observed_errors({"SoilTemp": np.float32(0.5)}, ds) == {"SoilTemp": 0.5}
    fluxes = xr.Dataset({"Qturb": 0, "Qle": 0, "Qh": 0})
    assert list(observed_errors(None, fluxes)) == ["Qh", "Qle"]
    assert list(observed_errors(None, fluxes.drop_vars("Qle"))) == ["Qh", "Qturb"]


@pytest.mark.parametrize(
    ("observed", "error", "words"),
    [
        ("soiltemp", MissingVariableError, ["no observable", "Did you mean 'SoilTemp'?"]),
        (["RadT"], MissingVariableError, ["Did you mean 'AvgSurfT'?"]),
        (["xyz"], MissingVariableError, ["'xyz' is no observable. Observables are SoilTemp,"]),
        ("SWdown", MissingVariableError, ["SWdown is input of the model"]),
        ("Qh", MissingVariableError, ["Qh is not in the Dataset"]),
        ([], MissingVariableError, ["nothing to fit", "Tair", "SoilTemp"]),
        ({"LWup": 0}, ParameterError, ["standard error of LWup", "positive", "W m-2", "got 0"]),
        ({"LWup": -1.0}, ParameterError, ["got -1.0"]),
        ({"LWup": np.nan}, ParameterError, ["got nan"]),
        ({"LWup": "big"}, ParameterError, ["got 'big'"]),
        ({"LWup": None}, ParameterError, ["got None"]),
    ],
)
def test_bad_observations_are_refused(observed, error, words):
    with refuses(error, *words):
        observed_errors(observed, good())


# ---------------------------------------------------------------------------- the table


def test_check_of_good_data_has_no_problem():
    table = check(good()).set_index("variable")
    assert list(table.index) == ["time", "depth", *MODEL.forcing, *OBSERVABLES]
    assert (table["problem"] == "").all()
    assert table.loc["time", "range"].endswith("6 times, step 1800 s")
    assert table.loc["depth", "range"] == "0 to 0.05"
    assert not table.loc["Qh", "found"]
    assert table.loc["Tair", "missing"] == 0


def test_a_radiometric_temperature_is_known_by_its_other_name():
    ds = good().rename(SoilTemp="RadT").isel(depth=0, drop=True).drop_vars("LWup")
    row = check(ds).set_index("variable").loc["AvgSurfT"]
    assert not row["found"]
    assert "'RadT' may be it: then ds.rename({'RadT': 'AvgSurfT'})" in row["problem"]
    assert check(ds.rename(RadT="AvgSurfT")).set_index("variable").problem["AvgSurfT"] == ""
    with refuses(MissingVariableError, "AvgSurfT is not in", "ds.rename({'RadT': 'AvgSurfT'})"):
        observed_errors("AvgSurfT", ds)
    words = [
        "'RadT' is no observable.",
        "Did you mean 'AvgSurfT'? Then rename it: ds.rename({'RadT",
    ]
    with refuses(MissingVariableError, *words):
        observed_errors("RadT", ds)
    with refuses(MissingVariableError, "nothing to fit", "ds.rename({'RadT': 'AvgSurfT'})"):
        observed_errors(None, ds)


def test_check_shows_units_and_gaps():
    ds = good()
    ds["Tair"] = (ds["Tair"] - 273.15).assign_attrs(units="degC")
    del ds["LWdown"].attrs["units"]
    ds["Tair"][1, 2:5] = np.nan
    table = check(ds).set_index("variable")
    assert table.loc["Tair", "conversion"] == "degC to K"
    assert table.loc["Tair", "range"] == "295 to 295"
    assert table.loc["Tair", "missing"] == pytest.approx(0.25)
    assert table.loc["Tair", "longest_gap"] == 3
    assert "gaps" in table.loc["Tair", "problem"]
    assert table.loc["LWdown", "conversion"] == "none, taken as W m-2"


def test_check_computes_nothing_lazy():
    with dask.config.set(scheduler=raising_scheduler):
        table = check(good().chunk(station=1)).set_index("variable")
    assert (table.loc[list(MODEL.forcing), "range"] == "lazy").all()
    assert table["longest_gap"].isna().all()


SPOILT = {
    "missing": (lambda ds: ds.drop_vars("Tair"), "Tair", "is not in the Dataset"),
    "units": (lambda ds: ds.Tair.attrs.update(units="m") or ds, "Tair", "cannot be converted"),
    "no units": (lambda ds: ds.Tair.attrs.update(units="?!") or ds, "Tair", "not understood"),
    "implausible": (lambda ds: ds.assign(Tair=ds.Tair - 273), "Tair", "looks like degC"),
    "text": (lambda ds: ds.assign(Tair=("time", ["a"] * 6)), "Tair", "real numbers"),
    "dims": (lambda ds: ds.assign(Tair=ds.Tair[:, 0]), "Tair", "no dimension 'time'"),
    "observation": (lambda ds: ds.assign(LWup=-ds.LWup), "LWup", "sign"),
    "nothing finite": (lambda ds: ds.assign(Tair=ds.Tair * np.nan), "Tair", "gaps"),
    "unsorted": (lambda ds: ds.isel(time=[1, 0, 2]), "time", "not sorted"),
    "duplicate": (lambda ds: ds.isel(time=[0, 0, 1]), "time", "duplicated"),
    "irregular": (lambda ds: ds.isel(time=[0, 1, 2, 4]), "time", "not regular"),
    "no time": (lambda ds: ds.drop_vars("time"), "time", "no coordinate 'time'"),
    "no times": (lambda ds: ds.isel(time=[]), "time", "empty"),
    "no depth": (lambda ds: ds.drop_vars("depth"), "depth", "no coordinate 'depth'"),
    "deep": (lambda ds: ds.assign_coords(depth=[5, 10]), "depth", "below the bottom"),
    "empty": (lambda ds: xr.Dataset(), "SWdown", "is not in the Dataset"),
}


@pytest.mark.parametrize(("spoil", "variable", "words"), SPOILT.values(), ids=SPOILT)
def test_check_turns_every_bad_input_into_a_row(spoil, variable, words):
    table = check(spoil(good())).set_index("variable")
    assert words in table.loc[variable, "problem"]


def test_check_needs_a_model_that_exists():
    with pytest.raises(ModelError):
        check(good(), model="nonsense")
    assert len(check(good(), model="huang2025")) == len(check(good()))


def test_all_errors_are_one_kind():
    for error in (MissingVariableError, UnitsError, DimensionError, TimeAxisError, ParameterError):
        assert issubclass(error, LSMError)
        assert issubclass(error, ValueError)


def test_a_depth_of_another_name_is_recognised():
    levels = xr.DataArray(np.full((2, 3), 290.0), dims=("time", "soil_depth"))
    with pytest.raises(DimensionError, match=r"rename\(\{'soil_depth': 'depth'\}\)"):
        depths(levels, "SoilTemp")
