"""Longwave radiation of the sky, estimated where nobody measured it."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from xlsm.axes import time_step
from xlsm.errors import MissingVariableError, TimeAxisError
from xlsm.model.constants import STEFAN_BOLTZMANN
from xlsm.sky import (
    all_sky_emissivity,
    clear_sky_emissivity,
    cloud_fraction,
    vapour_pressure,
)
from xlsm.solar import read_clear_sky
from xlsm.validate import in_one_piece, read_variable
from xlsm.variables import VARIABLES, attributes

__all__ = ["fill_longwave"]

Array = np.ndarray[Any, np.dtype[Any]]

#: What a value of LWdown is: the flags of LWdown_estimated, in their order from 0.
_FLAGS = ("observed", "clear_sky_formula", "with_clouds", "missing")
_OBSERVED, _CLEAR, _CLOUDS, _MISSING = (np.int8(i) for i in range(len(_FLAGS)))
#: Radiation in the dark (W m-2, mean) that no twilight and no offset of a sensor explains.
_BRIGHT_NIGHT = 20.0


def fill_longwave(ds: xr.Dataset, *, clouds: bool = True) -> xr.Dataset:
    """Estimate the downwelling longwave radiation where it was not measured.

    ``LWdown = eps sigma Tair^4`` with the emissivity of `xlsm.sky.clear_sky_emissivity` from Qair
    and PSurf (Brutsaert 1975) and, with `clouds`, of `xlsm.sky.all_sky_emissivity` with the
    `xlsm.sky.cloud_fraction` from SWdown (Crawford & Duchon 1999). Against half-hourly values of
    three towers the errors are 17 to 24 W m-2 (RMSE) with clouds, 32 to 44 without, most of it
    bias: without clouds the estimate is about 30 W m-2 too low.

    Parameters
    ----------
    ds : Dataset
        With Tair, Qair and PSurf, and with SWdown, a time in UTC (the end of each step) and a
        position (see `xlsm.position.read_position`) where `clouds`. Any batch dimensions.
    clouds : bool
        Whether clouds are derived from SWdown. False gives the clear-sky formula at all times.

    Returns
    -------
    Dataset
        A new one, with ``LWdown`` (float64, W m-2): finite observations unchanged, estimates
        elsewhere. ``LWdown_estimated`` (int8) flags each value: 0 observed, 1 clear-sky formula
        (also where no SWdown within 24 hours tells of clouds), 2 with clouds, 3 missing, because
        Tair, Qair or PSurf is. ``comment`` of LWdown says the same in words, with counts where
        nothing is lazy. Lazy where the input is.

    Raises
    ------
    MissingVariableError, UnitsError, DimensionError
        If something of the above is not there or not what it should be; says what to do.
    TimeAxisError
        If `clouds` and the steps are irregular, or the sun shines at night, because the time is
        not UTC (lazy data are not looked at).

    Examples
    --------
    >>> time = np.datetime64("2024-06-21T06") + np.arange(3) * np.timedelta64(6, "h")
    >>> series = {"Tair": 290.0, "Qair": 0.008, "PSurf": 1e5, "SWdown": 0.0}
    >>> ds = xr.Dataset({n: ("time", np.full(3, v)) for n, v in series.items()}, {"time": time})
    >>> fill_longwave(ds, clouds=False).LWdown.values.round()
    array([318., 318., 318.])
    >>> filled = fill_longwave(ds.assign_coords(latitude=50.0, longitude=0.0))
    >>> filled.LWdown.values.round(), filled.LWdown_estimated.values
    (array([401., 401., 401.]), array([2, 2, 2], dtype=int8))
    """
    given, ds = ds, in_one_piece(ds, stacklevel=3)
    weather = [read_variable(ds, name) for name in ("Tair", "Qair", "PSurf")]
    if "LWdown" in ds.variables:
        observed, found = read_variable(ds, "LWdown"), dict(ds["LWdown"].attrs)
    else:
        _refuse_other_names(ds)
        observed, found = xr.full_like(weather[0], np.nan), {}
    earlier = ds.get("LWdown_estimated", xr.full_like(observed, _OBSERVED, dtype=np.int8))
    sun = _sun(ds) if clouds else []
    inputs = [observed, earlier, *weather, *sun]
    longwave, flags = xr.apply_ufunc(
        _fill,
        *(a for a in xr.unify_chunks(*inputs) if isinstance(a, xr.DataArray)),
        input_core_dims=[["time"]] * len(inputs),
        output_core_dims=[["time"]] * 2,
        kwargs={"step": time_step(ds)} if clouds else {},
        dask="parallelized",
        output_dtypes=[np.float64, np.int8],
        keep_attrs=False,
    )
    flags = flags.transpose(..., *observed.dims).assign_attrs(
        standard_name="status_flag",
        long_name="Where the downwelling longwave radiation comes from",
        flag_values=np.arange(len(_FLAGS), dtype=np.int8),
        flag_meanings=" ".join(_FLAGS),
    )
    longwave = longwave.transpose(..., *observed.dims).assign_attrs(
        {**found, **attributes("LWdown")},
        ancillary_variables=_joined(found.get("ancillary_variables"), "LWdown_estimated"),
        comment=_joined(found.get("comment"), _comment(flags)),
    )
    return given.assign(LWdown=longwave, LWdown_estimated=flags)


def _sun(ds: xr.Dataset) -> list[xr.DataArray]:
    """Shortwave radiation as it is and as it would be under a clear sky."""
    try:
        shortwave, clear = read_variable(ds, "SWdown"), read_clear_sky(ds)
    except MissingVariableError as error:
        raise MissingVariableError(
            f"{error} Or do without clouds: fill_longwave(ds, clouds=False) needs neither SWdown "
            "nor a position."
        ) from error
    if shortwave.chunks is None and clear.chunks is None:
        night = float(shortwave.where(clear < 1.0).mean())
        if night > _BRIGHT_NIGHT:
            raise TimeAxisError(
                f"SWdown is {night:.0f} W m-2 on average while the sun is below the horizon: the "
                "time is not UTC, or the longitude is not positive to the east. From a local "
                "time of UTC-6, for example: ds.assign_coords(time=ds.time + "
                "np.timedelta64(6, 'h'))."
            )
    return [shortwave, clear]


def _refuse_other_names(ds: xr.Dataset) -> None:
    """Refuse to estimate what seems to be there, observed, under another name."""
    variable = VARIABLES["LWdown"]
    for name, da in ds.data_vars.items():
        if name in variable.aliases or da.attrs.get("standard_name") == variable.standard_name:
            raise MissingVariableError(
                f"LWdown is not in the Dataset, but {name!r} looks like it. If it is: "
                f"ds.rename({{{name!r}: 'LWdown'}}); if all of LWdown is to be estimated: "
                f"ds.drop_vars({name!r})."
            )


def _fill(
    observed: Array,
    earlier: Array,
    tair: Array,
    qair: Array,
    psurf: Array,
    *sun: Array,
    step: float = 0.0,
) -> tuple[Array, Array]:
    """Give longwave radiation and flags of arrays (..., time); `sun` is empty without clouds."""
    tair, qair, psurf = (
        _believed(values, name)
        for values, name in ((tair, "Tair"), (qair, "Qair"), (psurf, "PSurf"))
    )
    # without any vapour the formula knows no radiation at all: that is no estimate
    vapour = vapour_pressure(np.where(qair > 0, qair, np.nan), psurf)
    emissivity = clear_sky_emissivity(vapour, tair)
    kind = np.full(emissivity.shape, _CLEAR)
    if sun:
        shortwave, clear = sun
        fraction = cloud_fraction(_believed(shortwave, "SWdown"), clear, step=step)
        known = np.isfinite(fraction)
        emissivity = np.where(known, all_sky_emissivity(emissivity, fraction), emissivity)
        kind = np.where(known, _CLOUDS, kind)
    estimate = emissivity * STEFAN_BOLTZMANN * tair**4
    kind = np.where(np.isfinite(estimate), kind, _MISSING)
    measured = np.isfinite(observed)
    kept = np.where(earlier == _MISSING, _OBSERVED, earlier)
    flags = np.where(measured, kept, kind).astype(np.int8)
    return np.where(measured, observed, estimate), flags


def _believed(values: Array, name: str) -> Array:
    """Take a value that cannot be, such as -9999, for a missing one."""
    lower, upper = VARIABLES[name].plausible
    return np.where((values >= lower) & (values <= upper), values, np.nan)


def _comment(flags: xr.DataArray) -> str:
    """Say which values are estimates, by which formula, and how many if that is known."""
    clear = "the formula for a clear sky (Brutsaert 1975)"
    cloudy = "a cloud fraction from SWdown (Crawford & Duchon 1999)"
    if flags.chunks is not None:
        return (
            "Where LWdown_estimated is 1 the value is estimated from Tair, Qair and PSurf by "
            f"{clear}, where it is 2 with {cloudy} added."
        )
    number = np.bincount(flags.values.ravel(), minlength=len(_FLAGS))
    return (
        f"Of {flags.size} values {number[_CLEAR]} are estimated from Tair, Qair and PSurf by "
        f"{clear}, {number[_CLOUDS]} with {cloudy} added; {number[_MISSING]} are missing. "
        "LWdown_estimated says which."
    )


def _joined(old: str | None, new: str) -> str:
    """Add to an attribute what it does not say yet."""
    if not old:
        return new
    return old if new in old else f"{old} {new}"
