"""What is written to Zarr is what was computed, says what it is, and can be used again."""

import fsspec
import numpy as np
import pint
import pytest
import s3fs
import xarray as xr
import zarr
from twins import ERRORS, FREE, assert_identical_numbers, truth, twin

from xlsm.inference.invert import Status
from xlsm.variables import VARIABLES

# one station has no estimate, and albedos end at their bound
pytestmark = pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")

STATIONS = 10
TWO = FREE[:2]


@pytest.fixture(scope="module")
def ds():
    ds = twin(STATIONS, hours=24, noise=1.0)
    ds["LWup"][3] = ds["SoilTemp"][3] = np.nan  # one that cannot be solved
    return ds.assign_coords(latitude=("station", np.linspace(30, 40, STATIONS)))


@pytest.fixture(scope="module")
def est(ds):
    fixed = {"heat_capacity": truth(STATIONS)["heat_capacity"], "emissivity": 0.96}
    return ds.lsm.estimate(TWO, observed=ERRORS, fixed=fixed)


@pytest.fixture(scope="module")
def sim(ds, est):
    return ds.lsm.simulate(est)


@pytest.fixture(scope="module")
def lazy(ds):
    """Three blocks, the last one ragged."""
    chunked = ds.chunk(station=4)
    fixed = {"heat_capacity": 2.1e6, "emissivity": 0.96}
    est = chunked.lsm.estimate(TWO, observed=ERRORS, fixed=fixed)
    assert est.chunksizes["station"] == (4, 4, 2)
    return est


def assert_same_result(read, written):
    assert_identical_numbers(read, written)
    assert read.attrs == written.attrs
    for name in written.variables:
        if name in written.data_vars:  # xarray decides how it decodes coordinates
            assert read[name].dtype == written[name].dtype, name
        assert read[name].dims == written[name].dims, name
        attrs, expected = dict(read[name].attrs), dict(written[name].attrs)
        for some in (attrs, expected):  # arrays, which do not compare to one truth value
            for flags in ("flag_values", "flag_masks"):
                some[flags] = list(some.get(flags, ()))
        assert attrs == expected, name
    for name in written.coords:
        np.testing.assert_array_equal(read[name], written[name], err_msg=name)


# ---------------------------------------------------------------------------- local


def test_estimate_survives(ds, est, sim, tmp_path):
    est.lsm.to_zarr(tmp_path / "est.zarr")
    read = xr.open_zarr(tmp_path / "est.zarr")
    assert_same_result(read, est)
    assert read.status[3] == Status.no_observations
    # and is a set of parameters like the one in memory
    again = ds.lsm.simulate(read)
    assert again.Qg.chunks is not None
    assert_identical_numbers(again.compute(), sim)
    refit = ds.lsm.estimate(TWO, observed=ERRORS, fixed=read.load())
    assert_identical_numbers(refit, est)


def test_simulation_survives(sim, tmp_path):
    sim.lsm.to_zarr(str(tmp_path / "sim.zarr"))
    assert_same_result(xr.open_zarr(tmp_path / "sim.zarr"), sim)


def test_lazy_result_with_a_ragged_block(lazy, tmp_path):
    lazy.lsm.to_zarr(tmp_path / "est.zarr")
    read = xr.open_zarr(tmp_path / "est.zarr")
    assert_same_result(read, lazy.compute())
    group = zarr.open_group(tmp_path / "est.zarr", mode="r")
    assert group["status"].chunks == (4,)
    assert group["covariance"].chunks == (4, 2, 2)
    # the ragged block may be any
    other = lazy.isel(station=slice(2, None))
    assert other.chunksizes["station"] == (2, 4, 2)
    other.lsm.to_zarr(tmp_path / "other.zarr")
    assert_same_result(xr.open_zarr(tmp_path / "other.zarr"), other.compute())


def test_what_was_never_written_is_no_result(est, sim, tmp_path):
    est.lsm.to_zarr(tmp_path / "est.zarr")
    sim.lsm.to_zarr(tmp_path / "sim.zarr")
    group = zarr.open_group(tmp_path / "est.zarr", mode="r+")
    assert group["status"].dtype == np.int8
    assert group["status"].fill_value == Status.not_computed == -1
    assert group["iterations"].fill_value == -1
    for name in ("albedo", "albedo_std", "covariance", "cost", "heat_capacity"):
        assert np.isnan(group[name].fill_value), name
    assert np.isnan(zarr.open_group(tmp_path / "sim.zarr")["SoilTemp"].fill_value)
    # a chunk that is lost reads as not computed, not as converged
    (tmp_path / "est.zarr" / "status" / "c" / "0").unlink()
    assert (xr.open_zarr(tmp_path / "est.zarr").status == Status.not_computed).all()


def test_existing_store_is_not_overwritten(est, tmp_path):
    store = tmp_path / "est.zarr"
    est.lsm.to_zarr(store)
    with pytest.raises(FileExistsError, match=r"est\.zarr"):
        (est * 0).lsm.to_zarr(store)
    assert_same_result(xr.open_zarr(store), est)


def test_metadata_are_consolidated(est, tmp_path):
    est.lsm.to_zarr(tmp_path / "est.zarr")
    assert zarr.open_group(tmp_path / "est.zarr", mode="r").metadata.consolidated_metadata
    xr.open_zarr(tmp_path / "est.zarr", consolidated=True)


# ---------------------------------------------------------------------------- metadata


def test_metadata_follow_cf(est, sim, tmp_path):
    units = pint.UnitRegistry()
    for name, result in {"est": est, "sim": sim}.items():
        result.lsm.to_zarr(tmp_path / name)
        read = xr.open_zarr(tmp_path / name)
        assert read.attrs["Conventions"].startswith("CF-1.")
        assert read.attrs["source"].startswith("xlsm ")
        for variable in read.data_vars.values():
            assert variable.attrs.keys() & {"long_name", "standard_name"}, variable.name
            if variable.name not in ("status", "flags", "covariance"):  # flags; products of units
                units.parse_units(variable.attrs["units"].replace("-", "**-"))
    read = xr.open_zarr(tmp_path / "sim")
    for name, variable in read.data_vars.items():
        known = VARIABLES[name]
        assert variable.attrs.get("standard_name") == known.standard_name
        assert variable.attrs["units"] == known.units
        assert variable.attrs["cell_methods"] == "time: point"
    assert read.depth.attrs["positive"] == "down"
    assert read.depth.attrs["units"] == "m"
    flags = xr.open_zarr(tmp_path / "est").status.attrs
    assert flags["standard_name"] == "status_flag"
    assert len(flags["flag_values"]) == len(flags["flag_meanings"].split()) == len(Status)
    masks = xr.open_zarr(tmp_path / "est").flags.attrs
    assert masks["standard_name"] == "status_flag"
    assert len(masks["flag_masks"]) == len(masks["flag_meanings"].split())
    linked = xr.open_zarr(tmp_path / "est").albedo.attrs["ancillary_variables"].split()
    assert set(linked) <= set(est.data_vars)


# ---------------------------------------------------------------------------- object stores


def test_memory_url(lazy):
    url = "memory://test-zarr/est.zarr"
    try:
        lazy.lsm.to_zarr(url)
        assert_same_result(xr.open_zarr(url), lazy.compute())
        with pytest.raises(FileExistsError):
            lazy.lsm.to_zarr(url)
    finally:
        fsspec.filesystem("memory").rm("/test-zarr", recursive=True)


def test_s3_url(lazy, s3):
    options = {"endpoint_url": s3}
    s3fs.S3FileSystem(**options).mkdir("bucket")
    url = "s3://bucket/folder/est.zarr"
    lazy.lsm.to_zarr(url, storage_options=options)
    assert_same_result(xr.open_zarr(url, storage_options=options), lazy.compute())
    with pytest.raises(FileExistsError):
        lazy.lsm.to_zarr(url, storage_options=options)


def test_s3_url_with_the_address_in_the_environment(est, s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    s3fs.S3FileSystem().mkdir("bucket")
    est.lsm.to_zarr("s3://bucket/est.zarr")
    assert_same_result(xr.open_zarr("s3://bucket/est.zarr"), est)
