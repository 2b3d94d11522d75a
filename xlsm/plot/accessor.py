"""``ds.lsm.plot``: figures, as methods. It delegates and holds nothing but the Dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from xlsm.plot.fit import fit
from xlsm.plot.parameters import parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PlotAccessor"]


class PlotAccessor:
    """Figures of a Dataset of observations, and of estimates.

    Every method makes a new figure with `matplotlib.pyplot` and returns it; lazy data are
    computed.
    """

    def __init__(self, ds: xr.Dataset) -> None:
        self._obj = ds

    def fit(
        self,
        est: xr.Dataset,
        *,
        observed: str | Iterable[str] | Mapping[str, float] | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> Figure:
        """Draw the observations of one station, the fitted model and the residuals.

        Each variable, and each depth of the soil temperature, has a panel with the observations
        as dots and the model as a line, and below it a panel with observation minus model,
        beside a band of one standard error to either side of zero. Residuals that follow a
        pattern, or leave the band more often than one time in three, are the model's error and
        not noise.

        Parameters
        ----------
        est : Dataset
            An estimate for this station, as `estimate` gives it. If it holds NaN the station
            was not solved: the title says why, and only the observations are drawn.
        observed : str, iterable of str, or mapping of str to float, optional
            Variables to draw, with their standard errors in canonical units; by default those
            that were fitted, with the standard errors used there. Others than those fitted are
            drawn as well: a comparison with what the model has not seen.
        figsize : tuple of float, optional
            Width and height (inches); by default as large as the number of panels asks for.

        Returns
        -------
        matplotlib.figure.Figure
            Axes come in pairs: observations, then residuals, in the order of the variables.

        Raises
        ------
        LSMError
            If there is more than one station, the estimate is of another one or is none, or a
            variable is missing, of odd units or no observable; see `xlsm.errors`.

        Examples
        --------
        >>> import xlsm
        >>> ds = xlsm.tutorial.open_dataset("twin").isel(station=0)
        >>> est = ds.lsm.estimate(
        ...     ["albedo", "combined_transfer_coefficient"],
        ...     observed={"LWup": 5.0},
        ...     fixed=xlsm.tutorial.truth(ds),
        ... )
        >>> fig = ds.lsm.plot.fit(est)
        >>> fig.axes[0].get_ylabel()
        'LWup [W m-2]'
        """
        return fit(self._obj, est, observed=observed, figsize=figsize)

    def parameters(
        self,
        names: str | Iterable[str] | None = None,
        *,
        truth: Mapping[str, Any] | xr.Dataset | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> Figure:
        """Draw the parameters of this estimate with their error bars, over the stations.

        One panel a parameter, stations from left to right: along the first batch dimension;
        others are drawn side by side at each of its positions. Where the status is not
        ``converged`` the station is marked. A scale follows the values: an error bar much longer
        than their spread runs out of the panel.

        Parameters
        ----------
        names : str or iterable of str, optional
            Parameters to draw; by default those that were estimated.
        truth : mapping of str to number or DataArray, or Dataset, optional
            True values, drawn beside the estimates where there are any: see
            `xlsm.tutorial.truth`.
        figsize : tuple of float, optional
            Width and height (inches); by default as large as the number of panels asks for.

        Returns
        -------
        matplotlib.figure.Figure
            One Axes a parameter.

        Raises
        ------
        LSMError
            If this Dataset is no estimate, or a name is not among its parameters.

        Examples
        --------
        >>> import xlsm
        >>> ds = xlsm.tutorial.open_dataset("twin").isel(station=slice(3))
        >>> est = ds.lsm.estimate(
        ...     ["albedo", "combined_transfer_coefficient"],
        ...     observed={"LWup": 5.0},
        ...     fixed=xlsm.tutorial.truth(ds),
        ... )
        >>> fig = est.lsm.plot.parameters(truth=xlsm.tutorial.truth(ds))
        >>> [ax.get_title("left") for ax in fig.axes]
        ['albedo', 'combined_transfer_coefficient']
        """
        return parameters(self._obj, names, truth=truth, figsize=figsize)
