"""``ds.lsm``: the public face of xlsm on every xarray Dataset. It delegates and holds nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from xlsm.check import check
from xlsm.estimate import estimate
from xlsm.free import Parameter
from xlsm.model.model import Model
from xlsm.pipeline.write import to_zarr
from xlsm.plot.accessor import PlotAccessor
from xlsm.sample import sample
from xlsm.simulate import simulate

__all__ = ["LSMAccessor"]


@xr.register_dataset_accessor("lsm")
class LSMAccessor:
    """A land surface for a Dataset.

    Variables carry ALMA names (``SWdown``, ``SoilTemp``, ...) and CF units. Every dimension but
    ``time`` and ``depth`` is a batch dimension: stations, ensemble members, grid points.
    NumPy in gives NumPy out, Dask in gives lazy results. Inputs are never changed.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._obj = ds

    def simulate(
        self,
        parameters: Mapping[str, Any] | xr.Dataset | None = None,
        *,
        model: str | Model | None = None,
        depth: Any = None,
        outputs: str | Iterable[str] | None = None,
    ) -> xr.Dataset:
        """Run the model under the forcing of this Dataset.

        The first time is the initial state, at which forcing only serves the fluxes; every later
        one is the end of a step, by default one of backward Euler under the forcing at that time.

        Parameters
        ----------
        parameters : mapping of str to number or DataArray, or Dataset, optional
            Values by name, scalars or with batch dimensions (...), or the result of `estimate`;
            those not given take their defaults.
        model : str or Model, optional
            The forward model; by default the one `parameters` were estimated with, else
            ``"default"``.
        depth : float, sequence of float or DataArray, optional
            Depths (m) of ``SoilTemp``; by default those of the Dataset's own ``SoilTemp``, else
            0, 0.05, 0.1, 0.2 and 0.5 m.
        outputs : str or iterable of str, optional
            Which variables to give; by default all that the model simulates.

        Returns
        -------
        Dataset
            On the Dataset's times: ``SoilTemp`` (..., time, depth) and ``AvgSurfT`` (..., time)
            in K; ``SWup``, ``LWup``, ``Qg``, and ``Qh`` and ``Qle``, or, without a Bowen ratio,
            their sum ``Qturb``, (..., time) in W m-2. Where forcing is NaN, or a value that
            cannot be (-9999, say), everything after it is NaN. ``attrs["model"]`` holds the model
            as it was run, with what the data decided filled in.

        Warns
        -----
        LSMWarning
            If the column is shallower than twice the damping depth of the record.

        Raises
        ------
        LSMError
            For missing variables, units that cannot be converted, an irregular time axis,
            unknown or contradictory parameters, values out of bounds; see `xlsm.errors`.

        Notes
        -----
        Heat conduction under a surface energy balance, after Huang, Heaney & van Reeuwijk
        (2025), arXiv 2505.02979.

        Examples
        --------
        >>> import xlsm
        >>> ds = xlsm.tutorial.open_dataset("huang2025")
        >>> sim = ds.lsm.simulate({"albedo": 0.2}, depth=[0, 0.05])
        >>> dict(sim.SoilTemp.sizes)
        {'time': 101, 'depth': 2}
        """
        return simulate(self._obj, parameters, model=model, depth=depth, outputs=outputs)

    def estimate(
        self,
        free: str | Iterable[str] | Mapping[str, Parameter],
        *,
        observed: str | Iterable[str] | Mapping[str, float] | None = None,
        fixed: Mapping[str, Any] | xr.Dataset | None = None,
        model: str | Model | None = None,
        method: str = "auto",
        starts: int = 1,
        seed: int = 0,
        max_steps: int | None = None,
        tolerance: float | None = None,
    ) -> xr.Dataset:
        """Estimate parameters from the observations in this Dataset.

        Weighted least squares: the parameters that bring the model closest to the observations,
        each residual over its standard error. NaN in an observation is missing and has no
        weight. Bounds are kept by smooth transforms. Every station is solved for itself; one
        that cannot be solved gets NaN and a ``status`` that says why.

        Parameters
        ----------
        free : str, iterable of str, or mapping of str to Parameter
            Parameters to estimate.
        observed : str, iterable of str, or mapping of str to float, optional
            Observations to fit, with their standard errors in canonical units; by default all
            that the model can predict, with the usual errors (SoilTemp 0.2 K, AvgSurfT 0.5 K,
            SWup and LWup 5, Qh and Qle 20, Qturb 28, Qg 10 W m-2).
        fixed : mapping of str to number or DataArray, or Dataset, optional
            Known parameters, scalars or with batch dimensions (...), or an earlier estimate;
            those neither free nor given take their defaults.
        model : str or Model, optional
            The forward model; by default the one `fixed` was estimated with, else ``"default"``.
        method : {"auto", "gauss_newton", "adam", "lbfgs"}, optional
            Optimiser: damped Gauss-Newton (Levenberg-Marquardt) with forward-mode Jacobians,
            which is also what ``"auto"`` takes, or Adam or L-BFGS with reverse-mode gradients.
        starts : int, optional
            How many starting points to try: the first guess, and others at random about it. The
            best end counts.
        seed : int, optional
            Seed of the random starts.
        max_steps : int, optional
            Steps an optimisation may take; by default 100 for Gauss-Newton, 5000 for Adam, 500
            for L-BFGS.
        tolerance : float, optional
            Distance to the minimum, in standard errors of the estimate, at which an optimisation
            is done; by default 1e-8 for Gauss-Newton, 0.01 for the others.

        Returns
        -------
        Dataset
            For each free parameter its estimate and ``<name>_std``, (...); the fixed parameters;
            ``covariance`` (..., parameter, parameter_); ``status``, ``cost`` (half the sum of
            squared residuals over their errors), ``iterations`` (...); ``residual_std_<obs>``
            (...), the root mean square residual. It is a valid set of parameters for `simulate`.

            ``status`` (`xlsm.Status`): 0 ``converged``; 1 ``at_bound``, a parameter ended at a
            bound, its standard error is NaN and those of the others hold for it there; 2
            ``not_identifiable``, some parameters leave no trace in the data, their standard
            errors are infinite. Beyond these there are no estimates, only NaN: 3
            ``limit_reached`` (give ``max_steps``), 4 ``no_observations``, 5
            ``too_few_observations``, 6 ``forcing_gap``, 7 ``missing_parameter``, 8
            ``non_finite_cost``, 9 ``implausible_values``, such as a fill value, 10
            ``no_initial_profile``, where the model starts from an observed one.

        Raises
        ------
        LSMError
            For missing variables, units that cannot be converted, an irregular time axis,
            unknown or contradictory parameters, values out of bounds; see `xlsm.errors`.

        Notes
        -----
        Standard errors are those of Laplace's approximation, ``(J^T R^-1 J)^-1``, and take the
        stated standard errors of the observations at their word and as independent.

        By default the column starts at one temperature, ``initial_temperature`` or else
        ``deep_temperature``, which no soil has: on real data give a model with
        ``initial=xlsm.ObservedInitial()`` or ``xlsm.SpunUp()``, or begin some days early and make
        the observations of those days NaN.

        A model at a prompt or in a notebook, or ``repr(model)``, lists its pieces, the forcing it
        needs and its parameters with units, defaults and bounds. What a model follows (the
        temperature of `xlsm.ObservedSurface`, say) is no observation. Free diffusivities start
        where the harmonic estimator of `xlsm.diffusivity` says.

        Examples
        --------
        >>> import xlsm
        >>> ds = xlsm.tutorial.open_dataset("twin").isel(station=0)
        >>> est = ds.lsm.estimate(
        ...     ["albedo", "combined_transfer_coefficient"], observed={"LWup": 5.0}
        ... )
        >>> sorted(est.data_vars)[:3]
        ['albedo', 'albedo_std', 'combined_transfer_coefficient']
        """
        return estimate(
            self._obj,
            free,
            observed=observed,
            fixed=fixed,
            model=model,
            method=method,
            starts=starts,
            seed=seed,
            max_steps=max_steps,
            tolerance=tolerance,
        )

    def sample(
        self,
        free: str | Iterable[str] | Mapping[str, Parameter],
        *,
        observed: str | Iterable[str] | Mapping[str, float] | None = None,
        fixed: Mapping[str, Any] | xr.Dataset | None = None,
        model: str | Model | None = None,
        draws: int = 1000,
        warmup: int = 500,
        chains: int = 4,
        seed: int = 0,
    ) -> xr.DataTree:
        """Draw parameters from their posterior distribution, by the No-U-Turn sampler.

        Where `estimate` gives one point and a covariance, this gives the distribution: for a
        valley that is curved, cut off by a bound or without a bottom. It costs some thousand
        gradients for each chain. It needs the extra ``bayes``: ``pip install "xlsm[bayes]"``.

        Parameters
        ----------
        free, observed, fixed, model
            As in `estimate`.
        draws : int, optional
            Draws to keep of each chain.
        warmup : int, optional
            Draws before them that tune the sampler and are thrown away.
        chains : int, optional
            Independent chains; their agreement says whether they have arrived.
        seed : int, optional
            Seed of the random numbers: the same seed gives the same draws.

        Returns
        -------
        DataTree
            In the format of ArviZ, whose functions take it (those before version 1 through
            ``arviz.from_datatree``). Group ``posterior``: each free parameter, (chain, draw,
            ...), in its units. ``sample_stats``: ``diverging``, which should be true next to
            nowhere, ``lp``, ``energy``, ``acceptance_rate`` and ``n_steps``, (chain, draw, ...).
            ``constant_data``: the fixed parameters and the ``status`` of the estimation, (...).
            Both groups of parameters together, by `xarray.merge`, are parameters for `simulate`.
            Stations without an estimate are NaN (see `estimate`) and leave the others alone.

        Raises
        ------
        LSMError
            If the extra is not installed, and as from `estimate`.

        Notes
        -----
        The posterior is the likelihood that `estimate` maximises times a prior that is uniform in
        the physical units of each parameter between its bounds, whatever the scale of its
        transform. So it is highest at the estimate; and where the data say little, the bounds
        matter (``xlsm.Parameter(bounds=...)``). It takes the stated errors of the observations
        at their word and as independent.

        Chains begin at draws from Laplace's approximation about the estimate, which also gives
        the sampler its first coordinates, straightened along the longest valley; they are tuned
        further during the warm-up, after Hoffman & Gelman (2014), J. Mach. Learn. Res. 15,
        1593-1623. A combination of parameters that leaves no trace in the data is no obstacle,
        but costs many more gradients. R-hat far above 1.01, or
        divergences, say that the draws are not to be trusted: the posterior may have several
        hills, or be too curved. All stations are sampled with the same random numbers, so that
        a result does not depend on how the stations are cut into blocks.

        A Dataset in Dask gives lazy draws, one block of stations at a time.

        Examples
        --------
        >>> import xlsm
        >>> ds = xlsm.tutorial.open_dataset("huang2025").isel(time=slice(0, 25))
        >>> drawn = ds.lsm.sample(
        ...     "albedo", observed={"SoilTemp": 0.1}, model="huang2025", draws=50, warmup=50
        ... )
        >>> drawn["posterior/albedo"].dims
        ('chain', 'draw')
        >>> int(drawn["sample_stats/diverging"].sum())
        0
        """
        return sample(
            self._obj,
            free,
            observed=observed,
            fixed=fixed,
            model=model,
            draws=draws,
            warmup=warmup,
            chains=chains,
            seed=seed,
        )

    @property
    def plot(self) -> PlotAccessor:
        """Figures of fits and parameters; see `xlsm.plot.accessor.PlotAccessor`."""
        return PlotAccessor(self._obj)

    def check(self, *, model: str | Model | None = None) -> pd.DataFrame:
        """List what is there, what is missing, units, gaps and the time step: see `xlsm.check`.

        Parameters
        ----------
        model : str or Model, optional
            The model it is meant for.

        Returns
        -------
        pandas.DataFrame
            A row for each axis, forcing and observation; ``problem`` is empty where all is well.

        Examples
        --------
        >>> import xlsm
        >>> table = xlsm.tutorial.open_dataset("huang2025").lsm.check()
        >>> bool((table.problem == "").all())
        True
        """
        return check(self._obj, model=model)

    def to_zarr(self, store: Any, *, storage_options: Mapping[str, Any] | None = None) -> None:
        """Write this result to a new Zarr store, computing what is lazy.

        Parameters
        ----------
        store : str, path or zarr store
            A local path, or any URL that fsspec knows (``s3://...``); nothing may be there yet.
        storage_options : mapping, optional
            Options of the fsspec file system.

        Raises
        ------
        FileExistsError
            If the store exists.

        Examples
        --------
        >>> import tempfile, xarray as xr, xlsm
        >>> ds = xlsm.tutorial.open_dataset("huang2025")
        >>> folder = tempfile.TemporaryDirectory()
        >>> ds.lsm.simulate().lsm.to_zarr(f"{folder.name}/sim.zarr")
        >>> "SoilTemp" in xr.open_zarr(f"{folder.name}/sim.zarr")
        True
        >>> folder.cleanup()
        """
        to_zarr(self._obj, store, storage_options=storage_options)
