"""What xlsm does in each benchmark, as functions without arguments that can be timed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

import xlsm
from benchmarks import case
from xlsm.inference.fisher import sensitivity
from xlsm.inference.groups import in_groups
from xlsm.inference.invert import invert
from xlsm.inference.objective import cost, normal_equations
from xlsm.inference.problem import Data, Problem, per_station
from xlsm.inference.residuals import behaviour
from xlsm.inference.sensitivity import sandwich
from xlsm.model import column

__all__ = ["Contender", "dataset"]

MODEL = xlsm.models.huang2025()
PROBLEM = Problem(MODEL, case.FREE, ("SoilTemp",))
NAMES = ("SWdown", "LWdown", "Tair")


class Contender:
    """xlsm on an ensemble, everything compiled and warm.

    Parameters
    ----------
    ensemble : case.Ensemble
        The stations; noise-free observations at the two depths are made from their truth.
    lanes : int
        Stations that go through time together.
    """

    def __init__(self, ensemble: case.Ensemble, lanes: int) -> None:
        self.stations, self.lanes = len(ensemble.truth), lanes
        specs = [MODEL.parameters[name] for name in case.FREE]
        with jax.enable_x64(True):
            forcing = {name: jnp.asarray(ensemble.forcing[:, i].T) for i, name in enumerate(NAMES)}
            fixed = {"emissivity": jnp.full(self.stations, case.EMISSIVITY)}
            truth = dict(zip(case.FREE, jnp.asarray(ensemble.truth.T), strict=True))
            self.arguments = (fixed | truth, forcing, {})
            run = partial(column.run, MODEL, dt=case.STEP, depths=jnp.array(case.OBSERVED_DEPTHS))
            self.run = jax.jit(lambda *arguments: run(*arguments)["SoilTemp"])
            self.data = Data(
                forcing=forcing,
                start={},
                fixed=fixed,
                observations={"SoilTemp": self.run(*self.arguments)},
                errors={"SoilTemp": jnp.float64(1.0)},
                dt=jnp.float64(case.STEP),
                depths=jnp.asarray(case.OBSERVED_DEPTHS),
                lower=jnp.array([spec.bounds[0] for spec in specs]),
                upper=jnp.array([spec.bounds[1] for spec in specs]),
                log_scale=jnp.array([spec.scale == "log" for spec in specs]),
            )
            self.start = jnp.asarray(ensemble.start.T)
            self.point = jnp.zeros((len(case.FREE), self.stations))
            self.value = jax.jit(
                jax.value_and_grad(lambda point: cost(PROBLEM, self.data, point).sum())
            )
            self.equations = jax.jit(partial(normal_equations, PROBLEM))
            self.grouped = jax.jit(self._in_groups(partial(normal_equations, PROBLEM)))
            self.appraise = jax.jit(self._in_groups(_appraise))

    def _in_groups(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def of_all(data: Data, point: jax.Array) -> Any:
            def some(pick: Callable[[jax.Array], jax.Array]) -> Any:
                return function(per_station(data, pick), pick(point))

            return in_groups(some, self.stations, self.lanes)

        return of_all

    def _wait(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with jax.enable_x64(True):
            return jax.block_until_ready(function(*arguments))

    def forward(self) -> Any:
        """Simulate every station, (time, depth, station)."""
        return self._wait(self.run, *self.arguments)

    def value_and_gradient(self) -> Any:
        """Misfit of every station and its gradient in reverse mode."""
        return self._wait(self.value, self.point)

    def jacobian(self) -> Any:
        """Misfit, gradient and J^T J of every station by forward tangents."""
        return self._wait(self.equations, self.data, self.point)

    def jacobian_in_groups(self) -> Any:
        """Do it for many stations, as many at a time as are worked on together."""
        return self._wait(self.grouped, self.data, self.point)

    def appraisal(self) -> Any:
        """Statistics of the residuals and the matrices of the error bars."""
        return self._wait(self.appraise, self.data, self.point)

    def sensitivities(self) -> Any:
        """All that an identifiability analysis wants to know."""
        observed = (True,) * len(case.OBSERVED_DEPTHS)
        look = partial(sensitivity, PROBLEM, observed=observed, lanes=self.lanes)
        return self._wait(look, self.data, self.point)

    def inversion(self, tolerance: float = 1e-8) -> np.ndarray[Any, Any]:
        """Estimate all parameters of every station, (station, parameter)."""
        with jax.enable_x64(True):
            result = invert(
                PROBLEM,
                self.data,
                self.start,
                jnp.zeros((1, len(case.FREE))),
                jnp.float64(tolerance),
                jnp.int64(100),
                method="gauss_newton",
                error_bars="stated",
                lanes=self.lanes,
            )
            return np.asarray(result.values).T


def _appraise(data: Data, point: jax.Array) -> Any:
    seen = behaviour(PROBLEM, data, point)
    unused = jnp.zeros((len(point), *point.shape))  # of values that hang together
    return seen, sandwich(PROBLEM, data, point, seen, unused, at_least=1.0)


def dataset(ensemble: case.Ensemble) -> xr.Dataset:
    """Put an ensemble with its noise-free observations into a Dataset."""
    times = pd.date_range("2012-05-01", periods=case.TIMES, freq=pd.Timedelta(case.STEP, "s"))
    ds = xr.Dataset(
        {name: (("station", "time"), ensemble.forcing[:, i]) for i, name in enumerate(NAMES)},
        coords={"time": times},
    )
    truth = {
        name: xr.DataArray(values, dims="station")
        for name, values in zip(case.FREE, ensemble.truth.T, strict=True)
    }
    fixed = {"emissivity": case.EMISSIVITY}
    simulated = ds.lsm.simulate(truth | fixed, model=MODEL, depth=case.OBSERVED_DEPTHS)
    return ds.assign(SoilTemp=simulated.SoilTemp)
