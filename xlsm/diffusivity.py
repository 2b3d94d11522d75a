"""Thermal diffusivity of soil from nothing but temperatures at two depths, the classical ways."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xlsm._version import __version__
from xlsm.arguments import did_you_mean
from xlsm.axes import depths, time_step
from xlsm.errors import DimensionError, ParameterError, TimeAxisError
from xlsm.harmonics import conducted, decrement_and_lag, distances, fit_harmonics
from xlsm.validate import check_batch_dims, in_one_piece, read_variable
from xlsm.variables import VARIABLES

__all__ = ["ESTIMATORS", "diffusivity"]

#: In the order of Horton, Wierenga & Nielsen (1983), whose numerical method is left out.
ESTIMATORS = ("amplitude", "phase", "arctangent", "logarithmic", "harmonic")
#: The one to trust, and why.
RECOMMENDED = "harmonic"
ADVICE = (
    "Trust the harmonic estimator: of six, Horton, Wierenga & Nielsen (1983) found the harmonic "
    "and the numerical one best; amplitude, arctangent and logarithmic use few points of the "
    "cycle and are erratic."
)
#: A wave smaller than this (K) is none: round-off of a sensor that is stuck.
LEAST_AMPLITUDE = 1e-6

_BOTH, _LAYER = ("estimator", "layer"), ("layer",)
#: What `_block` gives: dimensions, units and meaning.
_RESULTS = {
    "diffusivity": (_BOTH, "m2 s-1", "thermal diffusivity of the soil between the two depths"),
    "rmse": (_BOTH, "K", "root mean square misfit of the lower depth's predicted mean cycle"),
    "amplitude": (_LAYER, "K", "amplitude of the first harmonic at the upper depth"),
    "amplitude_ratio": (_LAYER, "1", "amplitude of the first harmonic, lower over upper depth"),
    "lag": (_LAYER, "s", "delay of the first harmonic from the upper to the lower depth"),
}


def diffusivity(
    ds: xr.Dataset | xr.DataArray,
    *,
    estimators: str | Iterable[str] | None = None,
    period: str | dt.timedelta | np.timedelta64 = "1D",
    harmonics: int = 4,
) -> xr.Dataset:
    """Estimate thermal diffusivity between neighbouring depths from the waves of temperature.

    No forcing and no model run: the soil between two thermometers is a uniform part of a
    half-space that heat is conducted down through, and the wave of the period is damped and
    delayed by x = dz sqrt(omega / (2 kappa)), omega = 2 pi / period. Every estimator finds x, in
    its own way, and gives kappa = omega dz^2 / (2 x^2):

    - amplitude: x = ln(A1 / A2), amplitudes of the first harmonic above and below;
    - phase: x = phi1 - phi2, their phases;
    - arctangent: x = arctan((a b' - b a') / (a a' + b b')), where a = T1 - T3, b = T2 - T4 are of
      four samples a quarter of the period apart, primed below (Nerpin & Chudnovskii 1967);
    - logarithmic: x = ln((a^2 + b^2) / (a'^2 + b'^2)) / 2 (Seemann 1979);
    - harmonic: the x that best predicts all harmonics below from those above (least squares).

    Mean, linear trend and harmonics are fitted to the whole record by least squares, at the times
    when both depths are present. The four samples are taken from the mean cycle these harmonics
    make, at 24 first times all over a quarter of the period (later ones give the same four), and
    x is the median. There even harmonics cancel but the third does harm; with fewer than three
    they equal amplitude and phase. A delay is known but for whole periods; the one nearest to
    ln(A1 / A2) is taken.

    Which to trust: of these and a numerical one, Horton, Wierenga & Nielsen (1983) found the
    harmonic and the numerical ones best; amplitude, arctangent and logarithmic are erratic,
    because they use few points of the cycle. The result marks the harmonic one as `recommended`.

    Parameters
    ----------
    ds : Dataset or DataArray
        With ``SoilTemp`` (..., time, depth) at two depths or more, or that variable itself under
        any name. NaN is missing, and so is what no soil temperature can be (fill values).
    estimators : str or iterable of str, optional
        Which of the five; by default all.
    period : str, timedelta or timedelta64, optional
        Period of the wave: a day, or e.g. ``"365.25D"``. The record must be at least as long.
    harmonics : int, optional
        How many harmonics of the period to fit; the time step must resolve them. Where hours of
        every day are missing, fewer can be told apart: four in spite of six hours, two of twelve.

    Returns
    -------
    Dataset
        ``diffusivity`` (m2 s-1) and ``rmse`` (K) of (..., estimator, layer): the misfit, over the
        mean cycle, of the lower depth predicted from the upper one with that diffusivity.
        ``amplitude`` (K, above), ``amplitude_ratio`` (below over above) and ``lag`` (s) of the
        first harmonic, (..., layer). Coordinates ``upper`` and ``lower`` (m) are the depths of
        each layer, from the top down; ``recommended`` (estimator) marks the one to trust, and
        ``attrs["comment"]`` says why. NaN where a wave grows with depth (amplitude, logarithmic)
        or arrives early (phase, arctangent), for ``harmonic`` where either does, and everywhere
        where a sensor is dead or its gaps leave the cycle undetermined. Lazy if the input is.

    Raises
    ------
    MissingVariableError, UnitsError
        If there is no soil temperature, or not in units of temperature.
    DimensionError
        If there are not two depths, or depths are not known in metres.
    TimeAxisError
        If times are not regular, or the record is shorter than the period.
    ParameterError
        If an estimator is unknown, the period no duration, or harmonics not resolved.

    References
    ----------
    Horton, R., Wierenga, P. J. & Nielsen, D. R. (1983), Soil Sci. Soc. Am. J. 47, 25-32; the
    arctangent and logarithmic methods as cited there.

    Examples
    --------
    A wave known exactly, of half a millionth of a m2 s-1:

    >>> times = pd.date_range("2024-06-01", periods=72, freq="h")
    >>> hour, depth = np.meshgrid(np.arange(72), [0.05, 0.1], indexing="ij")
    >>> x = depth * np.sqrt(2 * np.pi / 86400 / (2 * 5e-7))
    >>> wave = 290 + 8 * np.exp(-x) * np.sin(2 * np.pi * hour / 24 - x)
    >>> soil = xr.DataArray(wave, {"time": times, "depth": [0.05, 0.1]})
    >>> diffusivity(soil).diffusivity.sel(estimator="phase").values.round(12)
    array([5.e-07])
    """
    if isinstance(ds, xr.DataArray):
        ds = ds.to_dataset(name="SoilTemp")
    temperature = read_variable(in_one_piece(ds, stacklevel=3), "SoilTemp")
    names = _names(estimators)
    metres = _two_depths(temperature)
    step = time_step(temperature.coords.to_dataset())
    seconds = _seconds(period)
    _check_record(temperature.sizes["time"], step, seconds, harmonics)
    taken = {"estimator", "recommended", "layer", "upper", "lower", *_RESULTS}
    check_batch_dims([temperature], taken)

    order = np.argsort(metres)
    results = xr.apply_ufunc(
        _block,
        # a scalar coordinate, left from a selection, would clash with those of the result
        temperature.isel(depth=order).drop_vars(taken & set(temperature.coords)),
        input_core_dims=[("depth", "time")],
        output_core_dims=[dims for dims, _, _ in _RESULTS.values()],
        kwargs={
            "spacing": np.diff(metres[order]),
            "step": step,
            "period": seconds,
            "harmonics": harmonics,
            "estimators": names,
        },
        dask="parallelized",
        output_dtypes=[np.float64] * len(_RESULTS),
        dask_gufunc_kwargs={"output_sizes": {"estimator": len(names), "layer": metres.size - 1}},
        keep_attrs=False,
    )
    variables = {
        name: result.assign_attrs(units=units, long_name=meaning)
        for (name, (_, units, meaning)), result in zip(_RESULTS.items(), results, strict=True)
    }
    down = {"units": "m", "positive": "down"}
    return xr.Dataset(
        variables,
        coords={
            "estimator": ("estimator", np.array(names, dtype=object)),
            "recommended": ("estimator", [name == RECOMMENDED for name in names]),
            "upper": ("layer", metres[order][:-1], {"long_name": "upper depth", **down}),
            "lower": ("layer", metres[order][1:], {"long_name": "lower depth", **down}),
        },
        attrs={
            "source": f"xlsm {__version__}",
            "period": seconds,
            "harmonics": int(harmonics),
            "comment": ADVICE,
        },
    )


def _names(estimators: str | Iterable[str] | None) -> tuple[str, ...]:
    """Check the names of the estimators asked for."""
    if estimators is None:
        return ESTIMATORS
    names = (estimators,) if isinstance(estimators, str) else tuple(dict.fromkeys(estimators))
    known = ", ".join(ESTIMATORS)
    for name in names:
        if name not in ESTIMATORS:
            hint = did_you_mean(str(name), ESTIMATORS, {"log": "logarithmic", "atan": "arctangent"})
            raise ParameterError(f"{name!r} is no estimator.{hint} There are {known}.")
    if not names:
        raise ParameterError(f"No estimator asked for; name some of {known}.")
    return names


def _two_depths(temperature: xr.DataArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Depths in metres, at least two of them."""
    metres = depths(temperature, "SoilTemp")
    if metres.size < 2 or "depth" not in temperature.dims:
        found = f"one depth only, {metres[0]:g} m" if metres.size else "no depth left"
        raise DimensionError(
            f"SoilTemp has {found}, but diffusivity is found from the difference between two. "
            "Bring sensors together: xr.concat([upper, lower], dim='depth').assign_coords("
            "depth=[0.05, 0.1])."
        )
    return metres


def _seconds(period: Any) -> float:
    """Length of the period in seconds."""
    length = np.nan
    if np.asarray(period).dtype.kind not in "biuf":  # pandas takes numbers as nanoseconds
        with contextlib.suppress(TypeError, ValueError):
            length = pd.Timedelta(period).total_seconds()
    if not length > 0:
        raise ParameterError(f"period must be a duration, '1D' or '365.25D', got {period!r}.")
    return float(length)


def _check_record(times: int, step: float, period: float, harmonics: Any) -> None:
    """Refuse records without one whole period, and harmonics that the step cannot resolve."""
    if times * step < period * (1 - 1e-6):
        raise TimeAxisError(
            f"The record is shorter than the period: {times} times of {step:g} s are "
            f"{times * step:g} s, the period is {period:g} s. Select more times, or give a "
            f"shorter period, '{times * step:g}s' at most."
        )
    if isinstance(harmonics, bool) or not isinstance(harmonics, int | np.integer) or harmonics < 1:
        raise ParameterError(f"harmonics must be a whole number of at least 1, got {harmonics!r}.")
    resolved = int(np.ceil(period / step / 2 - 1e-6)) - 1
    if resolved < 1:
        raise TimeAxisError(
            f"A time step of {step:g} s does not resolve a wave of {period:g} s, which takes more "
            "than two steps. Use data of a shorter step, or a longer period=."
        )
    if harmonics > resolved:
        raise ParameterError(
            f"harmonics={harmonics} of a period of {period:g} s are not resolved by a time step of "
            f"{step:g} s: use harmonics={resolved}, or fewer."
        )


@np.errstate(divide="ignore", invalid="ignore")  # NaN is the answer, not a mistake
def _block(
    values: Any, *, spacing: Any, step: float, period: float, harmonics: int, estimators: Any
) -> tuple[Any, ...]:
    """Compare neighbouring depths, values of (..., depth, time), NumPy in and out."""
    coldest, warmest = VARIABLES["SoilTemp"].plausible
    present = (values >= coldest) & (values <= warmest)
    both = present[..., :-1, :] & present[..., 1:, :]
    pairs = np.stack([values[..., :-1, :], values[..., 1:, :]], axis=-2)
    omega = 2 * np.pi / period
    waves = fit_harmonics(pairs, both, omega * step * np.arange(values.shape[-1]), harmonics)
    waves = np.where(np.abs(waves[..., :1]) > LEAST_AMPLITUDE, waves, np.nan)
    upper, lower = waves[..., 0, :], waves[..., 1, :]
    x = distances(upper, lower, estimators)
    error = lower[..., None, :, :] - conducted(upper[..., None, :, :], x)
    ratio = lower[..., 0] / upper[..., 0]
    return (
        omega * spacing**2 / (2 * x**2),
        np.sqrt(np.sum(np.abs(error) ** 2, axis=-1) / 2),
        np.abs(upper[..., 0]),
        np.abs(ratio),
        decrement_and_lag(ratio)[1] / omega,
    )
