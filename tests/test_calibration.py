"""Error bars mean what they say: intervals cover the truth as often as they promise."""

import numpy as np
import pytest
from twins import ERRORS, FREE, VARIABLES, truth, twin

#: Standard errors an interval reaches to either side, and how often it covers a normal truth.
LEVELS = {1.0: 0.6827, 1.96: 0.95}


def noisy_twins(count, autocorrelation, seed=0, size=1.0, hours=96):
    """One station again and again, each time with other noise and other gaps."""
    ds = twin(1, hours=hours).isel(station=[0] * count).assign_coords(station=np.arange(count))
    random = np.random.default_rng(seed)
    for name, error in ERRORS.items():
        series = ds[name].transpose("station", "time", ...)
        noise = random.standard_normal(series.shape)
        for t in range(1, noise.shape[1]):
            fresh = np.sqrt(1 - autocorrelation**2) * noise[:, t]
            noise[:, t] = autocorrelation * noise[:, t - 1] + fresh
        series = series + size * error * noise
        ds[name] = series.where(random.random(series.shape) > 0.2)
        ds[name].attrs = {"units": VARIABLES[name].units}
    return ds


def coverage(est, level):
    """Share of the stations whose interval covers the truth, by parameter."""
    off = {name: abs(est[name] - float(truth(1)[name][0])) for name in FREE}
    return {n: float((off[n] <= level * est[f"{n}_std"]).mean()) for n in FREE}


def check(est, count, sigmas=2.6):
    assert (est.status == 0).all()
    for level, promised in LEVELS.items():
        allowed = sigmas * np.sqrt(promised * (1 - promised) / count)
        for name, share in coverage(est, level).items():
            assert abs(share - promised) <= allowed, (name, level, share)


@pytest.mark.parametrize("autocorrelation", [0.0, 0.8])
def test_intervals_cover_the_truth(autocorrelation):
    ds = noisy_twins(200, autocorrelation)
    est = ds.lsm.estimate(FREE, observed=ERRORS)
    check(est, 200)
    for name in ERRORS:
        found = float(est[f"autocorrelation_{name}"].mean())
        assert abs(found - autocorrelation) < 0.1, name


def test_stated_errors_would_not_do():
    """What the adjustment is for: the error bars of independent errors are half too short."""
    ds = noisy_twins(200, 0.8)
    est = ds.lsm.estimate(FREE, observed=ERRORS, error_bars="stated")
    assert max(coverage(est, 1.0).values()) < 0.55


@pytest.mark.slow
@pytest.mark.parametrize("error_bars", ["adjusted", "estimated"])
@pytest.mark.parametrize(("autocorrelation", "size"), [(0.0, 1.0), (0.6, 1.0), (0.0, 2.0)])
def test_intervals_of_many_cover_the_truth(error_bars, autocorrelation, size):
    """Also where errors are twice as large as stated.

    To estimate size and correlation of the errors takes a longer record: from the residuals of
    96 hours, correlated by 0.6, the 95 % interval of the worst parameter covers 92 %.
    """
    hours = 96 if error_bars == "adjusted" else 240
    ds = noisy_twins(1000, autocorrelation, seed=1, size=size, hours=hours)
    est = ds.lsm.estimate(FREE, observed=ERRORS, error_bars=error_bars)
    check(est, 1000, sigmas=3.5)
