"""``ds.lsm``: the public face of xlsm on every xarray Dataset. It delegates and holds nothing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xlsm.check import check
from xlsm.estimate import estimate
from xlsm.free import Parameter
from xlsm.identify import data_worth, identifiability
from xlsm.model.model import Model
from xlsm.plot.accessor import PlotAccessor
from xlsm.prepare import Likelihoods
from xlsm.profiles import profile
from xlsm.sample import sample
from xlsm.simulate import simulate
from xlsm.writing import write_result

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
            those not given take their defaults. One that varies in time has a dimension
            ``time``, the Dataset's own, or ``every_1D`` and the like, with starts of pieces as
            its coordinate, as an estimate has it: each value holds for the steps that end in its
            piece.
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
            their sum ``Qturb``, (..., time) in W m-2. Each station runs over its own record, from
            the first to the last time at which all its forcing is there, and is NaN outside of
            it; where forcing is NaN in between, or a value cannot be (-9999, say), everything
            after it is NaN. ``attrs["model"]`` holds the model as it was run, with what the data
            decided filled in.

        Warns
        -----
        LSMWarning
            If the column is shallower than twice the damping depth of the record.
        FlaggedWarning
            If forcing has gaps within a record: from when on the result is NaN. Lazy data are not
            looked at.

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
        observed: str | Iterable[str] | Mapping[str, Any] | None = None,
        fixed: Mapping[str, Any] | xr.Dataset | None = None,
        model: str | Model | None = None,
        likelihood: Likelihoods = None,
        method: str = "auto",
        error_bars: str = "adjusted",
        starts: int = 1,
        seed: int = 0,
        max_steps: int | None = None,
        tolerance: float | None = None,
        window: str | dt.timedelta | np.timedelta64 | None = None,
        step: str | dt.timedelta | np.timedelta64 | None = None,
        holdout: str | float | dt.timedelta | np.timedelta64 | slice | None = None,
    ) -> xr.Dataset:
        """Estimate parameters from the observations in this Dataset.

        Weighted least squares: the parameters that bring the model closest to the observations,
        each residual over its standard error. NaN in an observation is missing and has no
        weight. Bounds are kept by smooth transforms. Every station is solved for itself, over its
        own record, from the first to the last time at which all its forcing is there; one that
        cannot be solved gets NaN and a ``status`` that says why.

        Parameters
        ----------
        free : str, iterable of str, or mapping of str to Parameter
            Parameters to estimate.
        observed : str, iterable of str, or mapping of str to float, DataArray or Observation, \
optional
            Observations to fit, with their standard errors in canonical units, DataArrays where
            they differ between stations or depths; by default all that the model can predict,
            with the usual errors (SoilTemp 0.2 K, AvgSurfT 0.5 K, SWup and LWup 5, Qh and Qle 20,
            Qturb 28, Qg 10 W m-2). An `xlsm.Observation` says more: the depth of a heat flux
            plate, means over the time step (which ``cell_methods`` may say as well), uncertain
            depths of thermometers, an energy closure of the eddy fluxes.
        fixed : mapping of str to number or DataArray, or Dataset, optional
            Known parameters, scalars or with batch dimensions (...), or an earlier estimate;
            those neither free nor given take their defaults.
        model : str or Model, optional
            The forward model; by default the one `fixed` was estimated with, else ``"default"``.
        likelihood : {"gaussian", "huber", "student_t"} or Likelihood, optional
            How residuals count, or a mapping of observables to it: normal errors, or ones that
            outliers do not bother, `xlsm.Huber`, `xlsm.StudentT`.
        method : {"auto", "gauss_newton", "adam", "lbfgs"}, optional
            Optimiser: damped Gauss-Newton (Levenberg-Marquardt), which is also what ``"auto"``
            takes, or Adam or L-BFGS with reverse-mode gradients; see the notes.
        error_bars : {"adjusted", "estimated", "stated"}, optional
            What standard errors rest on. ``"stated"`` takes the errors of the observations at
            their word and as independent. ``"adjusted"`` looks at the residuals of each series:
            where they are larger than stated, or each like the one before it, so are the errors.
            ``"estimated"`` lets their size speak also where it is smaller than stated.
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
        window : str or timedelta, optional
            Cut the record into windows of this length, ``"7D"``, and estimate the parameters of
            each for itself, from its own initial state. n time steps hold n times. A window that
            would reach past the end of the record is left out.
        step : str or timedelta, optional
            From the start of one window to the start of the next; by default as long as a window.
            Windows may overlap.
        holdout : str, timedelta, float or slice, optional
            Observations, never forcing, to leave out of the fit and to score it on: the end of
            the record as a duration (``"50h"``) or a share of its times (0.25), a slice of times,
            ``slice("2017-06-15", "2017-06-21")``, or ``"every 5th day"``, in days of 24 hours
            from the first time on. Of windows, the end or the days of each; no slice.

        Returns
        -------
        Dataset
            For each free parameter its estimate and ``<name>_std``, (...), with those that an
            `xlsm.Observation` adds; the fixed parameters. One that varies in time,
            ``xlsm.Parameter(every="1D")``, has a dimension ``every_1D`` (``every_1D_linear``
            where it is linear between its values) with their times as its coordinate, and, where
            that was to be estimated, ``<name>_smooth``; of constants there is
            ``covariance`` (..., parameter, parameter_); ``status``, ``cost`` (half the sum of
            squared residuals over their errors, or what the likelihood makes of them, and of the
            priors), ``iterations`` (...). For each observable, (...): ``residual_std_<obs>``, the
            root mean square residual; ``chi_square_<obs>``, the mean square over that of the
            standard error; ``autocorrelation_<obs>`` of a residual with the one before it, zero
            where it is not significant; ``daily_share_<obs>``, the part of their variance that
            follows the hour of the day. With several starts ``convergence_spread`` (...,
            parameter) of those that converged: how many minima there are, no uncertainty. It is a
            valid set of parameters for `simulate`.

            With `window` there is one more batch dimension, ``window``, with the first times of
            the windows as its coordinate and the last ones as ``window_end``. `simulate` runs the
            parameters of each window over the whole record.

            With `holdout` also ``rmse``, ``bias``, ``r2``, ``kge`` and ``samples``
            (..., part, observable), see `xlsm.scores.score`, and ``rmse_line``, the bar to beat:
            the rmse of a straight line of SWdown that was fitted to the same observations (NaN
            where there is no SWdown). ``part`` is "fitted" or "held out"; ``observable`` is all
            that is observed and that the model predicts, fitted or not, with a label for each
            depth, "SoilTemp 0.05 m"; ``units`` (observable) are those of rmse and bias. The model
            runs through what is held out, under its forcing, in one go.

            ``status`` (`xlsm.Status`): 0 ``converged``; 1 ``at_bound``, a parameter ended at a
            bound, its standard error is NaN and those of the others hold for it there; 2
            ``not_identifiable``, some parameters leave no trace in the data, their standard
            errors are infinite. Beyond these there are no estimates, only NaN: 3
            ``limit_reached`` (give ``max_steps``) farther than 0.1 standard errors from the
            minimum, 4 ``no_observations``, 5
            ``too_few_observations``, 6 ``forcing_gap``, 7 ``missing_parameter``, 8
            ``non_finite_cost``, 9 ``implausible_values``, such as a fill value, 10
            ``no_initial_profile``, where the model starts from an observed one, 11
            ``impossible_estimate``, one that the data contradict: a porosity below the observed
            SoilMoist, which wants a lower bound, ``xlsm.Parameter(bounds=(0.42, 0.6))``, 12
            ``raised``, computing it failed, which the log ``xlsm`` has: the others of its block
            are not affected. ``flags`` (`xlsm.Flag`) say what to keep in mind of those that have
            an estimate, one that did not quite converge among it.

        Warns
        -----
        LSMWarning
            If the column is shallower than twice the damping depth of the record.
        FlaggedWarning
            If stations have no estimate, or parameters ended at a bound: how many, which, and
            what to do. A lazy result is not looked at.

        Raises
        ------
        LSMError
            For missing variables, units that cannot be converted, an irregular time axis,
            unknown or contradictory parameters, values out of bounds, a free Bowen ratio without
            a prior that nothing observed tells; a window of fewer than three time steps or longer
            than the record, a window or step that is no multiple of the time step; a `holdout`
            that holds out nothing, or leaves too little to fit. See `xlsm.errors`.

        Notes
        -----
        Standard errors are those of Laplace's approximation: ``A^-1 M A^-1`` with the curvature
        ``A = J^T R^-1 J``, and M the variance of the gradient; see `error_bars`, and
        `xlsm.inference.sensitivity.sandwich`. They tell of noise, even of noise that is larger
        than stated or correlated in time; what the model has wrong all the time biases an estimate
        and is in no error bar.

        Stations of unequal length lie on the union of their times, with NaN where one is not
        there (``xr.concat(..., join="outer")``). Each starts at its own first time, from the
        profile observed then if its model says so, and costs about as much as its own record. What
        the call decides for all of them is that of the whole: the depth of ``grid="auto"``, the
        windows, the times held out. The pieces of ``xlsm.Parameter(every=...)`` are those of the
        whole, too: there a record that begins late is a gap, and of one that ends early the
        values after its end are not identifiable.

        Up to 24 free values the derivatives of all of them are carried forward through time with
        the model. A parameter that varies in time may bring hundreds; then the gradient goes
        backward, through a scan that keeps one state a block and computes the others again, so
        that memory grows with the root of the number of times, and the Gauss-Newton matrix is
        that of derivatives which are forgotten eight days after their value, or as long as heat
        takes to the deepest sensor and back. Where the steps end depends on the gradient alone,
        which is exact; standard errors are larger by a per cent or so for what was forgotten.
        With ``smooth="estimated"`` they hold for the strength that was found, as if it were known.

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
        ...     ["albedo", "combined_transfer_coefficient"],
        ...     observed={"LWup": 5.0},
        ...     fixed=xlsm.tutorial.truth(ds),
        ... )
        >>> sorted(est.data_vars)[:2]
        ['albedo', 'albedo_std']

        Every day for itself, with its last quarter held out:

        >>> days = ds.lsm.estimate(["albedo"], observed="LWup", window="1D", holdout=0.25)
        >>> dict(days.albedo.sizes)
        {'window': 7}
        >>> held_out = days.sel(part="held out", observable="LWup")
        >>> bool((held_out.rmse < held_out.rmse_line).all())
        True

        One fit of all days, in which the albedo changes from each to the next by a hundredth:

        >>> free = {"albedo": xlsm.Parameter(every="1D", smooth=0.01)}
        >>> est = ds.lsm.estimate(free, observed="LWup", fixed=xlsm.tutorial.truth(ds))
        >>> dict(est.albedo.sizes)
        {'every_1D': 7}
        """
        return estimate(
            self._obj,
            free,
            observed=observed,
            fixed=fixed,
            model=model,
            likelihood=likelihood,
            method=method,
            error_bars=error_bars,
            starts=starts,
            seed=seed,
            max_steps=max_steps,
            tolerance=tolerance,
            window=window,
            step=step,
            holdout=holdout,
        )

    def identifiability(
        self,
        parameters: Mapping[str, Any] | xr.Dataset,
        *,
        free: str | Iterable[str] | Mapping[str, Parameter] | None = None,
        observed: str | Iterable[str] | Mapping[str, Any] | None = None,
        model: str | Model | None = None,
    ) -> xr.Dataset:
        """Say which combinations of parameters the data can tell, in numbers and in words.

        Nothing is fitted: the sensitivities of the observations at the given parameters are held
        against their standard errors. Of the observations only where they are missing matters,
        so simulated ones do as well: a campaign can be judged before it begins.

        Parameters
        ----------
        parameters : mapping of str to number or DataArray, or Dataset
            Where to look: values by name, or the result of `estimate`.
        free : str, iterable of str, or mapping of str to Parameter, optional
            Parameters that are to be estimated, with their bounds and priors; by default those an
            estimate was made of, else all that are given.
        observed : str, iterable of str, or mapping of str to float or DataArray, optional
            As in `estimate`; by default what an estimate was fitted to.
        model : str or Model, optional
            The forward model; by default the one `parameters` were estimated with.

        Returns
        -------
        Dataset
            ``std`` and ``relative_std`` (..., parameter), the standard errors that data and priors
            can give; ``correlation`` (..., parameter, parameter_) of the errors;
            ``singular_value`` (..., combination) of the whitened Jacobian, largest first, and
            ``direction`` (..., combination, parameter), its right singular vectors, each parameter
            measured on its own scale in standard deviations of a uniform distribution between its
            bounds; ``structural`` (..., combination), those that change nothing at all, which no
            better instrument will ever see; ``resolved`` (...), how many singular values are above
            one; ``resolution`` (..., parameter, parameter_) and its diagonal
            ``identifiability``, zero where an estimate would be the bounds', one where it would be
            the data's. ``attrs["summary"]`` says it in words.

        Raises
        ------
        LSMError
            As `estimate`; and for a free parameter without a value.

        Notes
        -----
        With ``J = R^-1/2 dy/dphi L`` [1]_, R the stated errors, phi the parameters on their own
        scales, L the widths of their bounds. Errors are taken as stated and independent.

        References
        ----------
        .. [1] Rodgers, C. D. (2000). Inverse Methods for Atmospheric Sounding. World Scientific.

        Examples
        --------
        >>> import xlsm
        >>> ds = xlsm.tutorial.open_dataset("huang2025").isel(depth=[1])
        >>> found = ds.lsm.identifiability(
        ...     {"heat_transfer_coefficient": 15.0, "bowen_ratio": 1.5},
        ...     observed={"SoilTemp": 0.1},
        ...     model="huang2025",
        ... )
        >>> print(found.attrs["summary"].splitlines()[1])
        1 of 2 combinations of parameters are better known than their bounds say.
        """
        return identifiability(self._obj, parameters, free=free, observed=observed, model=model)

    def data_worth(
        self,
        parameters: Mapping[str, Any] | xr.Dataset,
        *,
        candidates: Iterable[str] | Mapping[str, Any] | None = None,
        free: str | Iterable[str] | Mapping[str, Parameter] | None = None,
        observed: str | Iterable[str] | Mapping[str, Any] | None = None,
        model: str | Model | None = None,
    ) -> xr.Dataset:
        """Rank further sensors by what they would do to the error bars.

        Parameters
        ----------
        parameters, free, observed, model
            As in `identifiability`.
        candidates : iterable of str, or mapping of str to float or sequence of float, optional
            Variables that might be observed, with their standard errors, and for ``SoilTemp``
            depths (m) of one more thermometer each, as good as those there are; by default all
            that the model predicts and nobody observes, and thermometers at the usual depths.

        Returns
        -------
        Dataset
            For each candidate alone beside what is observed: ``std`` (..., candidate,
            parameter); ``factor`` by which it is smaller than ``std_now`` (..., parameter); and
            ``gain`` (..., candidate), the mean of its logarithm, by which they are ordered, the
            best first (lazy results as they come). ``attrs["summary"]`` says it in words.

        Raises
        ------
        LSMError
            As `identifiability`; and if nothing is left to be observed.

        Examples
        --------
        >>> import xlsm
        >>> ds = xlsm.tutorial.open_dataset("huang2025").isel(depth=[1])
        >>> worth = ds.lsm.data_worth(
        ...     {"thermal_conductivity": 0.8, "heat_capacity": 2.2e6},
        ...     candidates={"SoilTemp": [0.0, 0.2], "LWup": 5.0},
        ...     observed={"SoilTemp": 0.1},
        ...     model="huang2025",
        ... )
        >>> str(worth.candidate.values[0])
        'SoilTemp at 0 m'
        """
        return data_worth(
            self._obj,
            parameters,
            candidates=candidates,
            free=free,
            observed=observed,
            model=model,
        )

    def profile(
        self,
        est: xr.Dataset,
        parameter: str,
        *,
        free: Iterable[str] | Mapping[str, Parameter] | None = None,
        observed: str | Iterable[str] | Mapping[str, Any] | None = None,
        likelihood: Likelihoods = None,
        points: int = 21,
        reach: float = 4.0,
    ) -> xr.Dataset:
        """Trace how the cost rises along one parameter while all others make way.

        An error bar is the curvature of the cost at its minimum. Where the valley is lopsided, ends
        at a bound or has a second bottom, its profile tells more: the parameter is held at a
        series of values, and the others are estimated anew for each, all in one call.

        Parameters
        ----------
        est : Dataset
            What ``estimate`` gave for this Dataset.
        parameter : str
            One of those that were estimated.
        free : iterable of str or mapping of str to Parameter, optional
            The free parameters with their bounds and priors, if the estimate had any.
        observed : str, iterable of str, or mapping of str to float or DataArray, optional
            By default what the estimate was fitted to.
        likelihood : str, Likelihood or mapping, optional
            As in `estimate`.
        points : int, optional
            Values along the parameter.
        reach : float, optional
            How far they go to either side, in standard errors; from bound to bound where there
            are none.

        Returns
        -------
        Dataset
            The parameter and ``rise`` (..., point), twice the rise of the cost above its minimum;
            ``lower`` and ``upper`` (..., level), the ends of the 68 and the 95 % interval, NaN
            where the profile does not rise enough; and the other parameters along it. Where the
            errors of the estimate were widened for what the residuals showed, so is the profile.

        Raises
        ------
        LSMError
            If `est` is no estimate, or has not this parameter, or no other; or if it was made with
            `holdout`: a profile would fit what it left out.

        Notes
        -----
        The interval holds the values that a likelihood-ratio test would not reject (Venzon &
        Moolgavkar 1988, Appl. Stat. 37, 87-94).

        Examples
        --------
        >>> import xlsm
        >>> ds = xlsm.tutorial.open_dataset("huang2025")
        >>> free = ["thermal_conductivity", "heat_capacity"]
        >>> est = ds.lsm.estimate(free, observed={"SoilTemp": 0.1}, model="huang2025")
        >>> trace = ds.lsm.profile(est, "heat_capacity", points=7)
        >>> trace.sizes["point"], trace.sizes["level"]
        (7, 2)
        """
        return profile(
            self._obj,
            est,
            parameter,
            free=free,
            observed=observed,
            likelihood=likelihood,
            points=points,
            reach=reach,
        )

    def sample(
        self,
        free: str | Iterable[str] | Mapping[str, Parameter],
        *,
        observed: str | Iterable[str] | Mapping[str, float] | None = None,
        fixed: Mapping[str, Any] | xr.Dataset | None = None,
        model: str | Model | None = None,
        likelihood: Likelihoods = None,
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
        free, observed, fixed, model, likelihood
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
        The posterior is the likelihood that `estimate` maximises times the priors of the
        parameters (``xlsm.Parameter(prior=...)``); one that has none is uniform in its physical
        units between its bounds, whatever the scale of its transform. So it is highest at the
        estimate; and where the data say little, the bounds matter. It takes the stated errors of
        the observations at their word and as independent.

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
            likelihood=likelihood,
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

    def to_zarr(
        self,
        store: Any,
        *,
        resume: bool = False,
        overwrite: bool = False,
        chunks: Mapping[str, int] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Write this result to a new Zarr store, computing what is lazy.

        Parameters
        ----------
        store : str, path or zarr store
            A local path, or any URL that fsspec knows (``s3://...``); nothing may be there yet,
            or, with `resume`, what an earlier run of the same has left. With `resume` also a store
            of obstore, ``icechunk://PATH``, ``icechunk+s3://BUCKET/PREFIX`` (``gs``, ``az``) or an
            ``icechunk.Repository``, to which this process commits some blocks at a time.
        resume : bool, optional
            Write so that the run may be killed at any moment, and go on where it was when it is
            started again. Blocks of stations are computed and written one by one, each with its
            ``status`` last: where that is still ``not_computed`` nothing counts. With a Dask
            client blocks are computed and written by its workers. One run at a time: a lease
            lies beside the store, and so does a log, ``STORE.log.jsonl``.
        overwrite : bool, optional
            With `resume`: replace a Zarr store that is there and was begun for something else;
            the same is gone on with.
        chunks : mapping of str to int, optional
            With `resume`: size along batch dimensions of the chunks within a block, which becomes
            one object (a shard) that holds many. Single stations are then read quickly.
        storage_options : mapping, optional
            Options of the fsspec file system, or of Icechunk's storage; they are written nowhere.

        Raises
        ------
        FileExistsError
            If the store exists, and is no run that can be resumed.
        LSMError
            If the store was begun for something else (the message says what differs), is being
            written by another process, or blocks could not be computed.
        DimensionError
            If `chunks` names no batch dimension, or does not divide the blocks.

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
        write_result(
            self._obj,
            store,
            resume=resume,
            overwrite=overwrite,
            chunks=chunks,
            storage_options=storage_options,
        )
