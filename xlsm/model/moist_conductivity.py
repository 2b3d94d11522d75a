"""Thermal conductivity of a soil as a function of its moisture, one class a scheme."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping

import jax

from xlsm.model import conductivity as law
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Piece

__all__ = ["JohansenConductivity", "LuConductivity", "MoistConductivity"]

Values = Mapping[str, jax.Array]

QUARTZ_FRACTION = ParameterSpec(
    "quartz_fraction",
    "q",
    "1",
    0.5,
    (0.0, 1.0),
    "linear",
    "fraction of quartz among the solids of the soil",
)
SAND_FRACTION = ParameterSpec(
    "sand_fraction",
    "f_sand",
    "1",
    0.5,
    (0.0, 1.0),
    "linear",
    "fraction of sand among the solids of the soil, all of it quartz",
)


class MoistConductivity(Piece, abc.ABC):
    """Thermal conductivity of a soil from its moisture."""

    @abc.abstractmethod
    def of(self, moisture: jax.Array, porosity: jax.Array, parameters: Values) -> jax.Array:
        """Thermal conductivity (W m-1 K-1).

        Parameters
        ----------
        moisture : array, shape (nodes, ...)
            Volume fraction of water.
        porosity : array, shape (...)
            Volume fraction of pores.
        parameters : mapping of str to array, shape (...)
            By name.

        Returns
        -------
        array, shape (nodes, ...)
        """


@dataclasses.dataclass(frozen=True)
class JohansenConductivity(MoistConductivity):
    """Conductivity after Johansen (1975), between that of dry and of saturated soil.

    ``lambda = lambda_dry + Ke (lambda_sat - lambda_dry)``, from porosity and quartz fraction,
    as given by Peters-Lidard et al. [1]_; see `xlsm.model.conductivity` for each part. The
    conductivity of the solids has a step at a quartz fraction of 0.2: where it is estimated,
    keep it to one side, ``Parameter(bounds=(0.22, 1))``.

    Parameters
    ----------
    coarse : bool
        Whether the soil is sand or gravel; with 5 % of clay or more it is fine.

    References
    ----------
    .. [1] Peters-Lidard, C. D. et al. (1998), J. Atmos. Sci. 55, 1209-1224.

    Examples
    --------
    >>> [p.name for p in JohansenConductivity().parameters]
    ['quartz_fraction']
    """

    coarse: bool = False

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The quartz fraction."""
        return (QUARTZ_FRACTION,)

    def of(self, moisture: jax.Array, porosity: jax.Array, parameters: Values) -> jax.Array:
        """Thermal conductivity (W m-1 K-1), shape (nodes, ...)."""
        solids = law.minerals(parameters["quartz_fraction"])
        saturated = law.saturated(solids, porosity, law.WATER_JOHANSEN)
        dry = law.dry_johansen(porosity)
        share = law.kersten_johansen(law.saturation(moisture, porosity), coarse=self.coarse)
        return dry + share * (saturated - dry)


@dataclasses.dataclass(frozen=True)
class LuConductivity(MoistConductivity):
    """Conductivity after Lu et al. (2007), from dryness to saturation in one formula.

    As `JohansenConductivity` with another Kersten number and another dry conductivity [1]_;
    all sand is quartz. Its Kersten number has a step at a sand fraction of 0.4, and the
    conductivity of the solids one at 0.2: where it is estimated, keep it to one side,
    ``Parameter(bounds=(0.42, 1))``.

    References
    ----------
    .. [1] Lu, S., Ren, T., Gong, Y. & Horton, R. (2007), Soil Sci. Soc. Am. J. 71, 8-14.

    Examples
    --------
    >>> [p.name for p in LuConductivity().parameters]
    ['sand_fraction']
    """

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """The sand fraction."""
        return (SAND_FRACTION,)

    def of(self, moisture: jax.Array, porosity: jax.Array, parameters: Values) -> jax.Array:
        """Thermal conductivity (W m-1 K-1), shape (nodes, ...)."""
        sand = parameters["sand_fraction"]
        saturated = law.saturated(law.minerals(sand), porosity, law.WATER_LU)
        dry = law.dry_lu(porosity)
        share = law.kersten_lu(law.saturation(moisture, porosity), sand)
        return dry + share * (saturated - dry)
