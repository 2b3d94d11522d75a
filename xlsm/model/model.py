"""The forward model as one frozen object composed of pieces."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

import jax

from xlsm.errors import ModelError
from xlsm.model.bottom import FixedTemperature, UniformInitial, ZeroFlux
from xlsm.model.grid import UniformGrid
from xlsm.model.parameters import ParameterSpec
from xlsm.model.soil import UniformSoil
from xlsm.model.solvers import Jacobi, Modal, Solver, Tridiagonal
from xlsm.model.surface import BareSurface, GreyBody, PaperRadiation
from xlsm.model.turbulence import ConstantExchange

__all__ = ["Model"]

SOLVERS: dict[str, type[Solver]] = {"jacobi": Jacobi, "modal": Modal, "tridiagonal": Tridiagonal}

#: Every piece a text may name: reading one never builds anything else.
PIECES = {
    piece.__name__: piece
    for piece in (
        UniformGrid,
        UniformSoil,
        GreyBody,
        PaperRadiation,
        ConstantExchange,
        FixedTemperature,
        ZeroFlux,
        UniformInitial,
        Jacobi,
        Modal,
        Tridiagonal,
    )
}


@dataclasses.dataclass(frozen=True)
class Model:
    """A soil column under a surface energy balance.

    Pieces are frozen and hold settings only; parameters are arrays given at run time. A model
    can be hashed, compared, pickled, and written as text (`to_json`).

    Parameters
    ----------
    grid : UniformGrid
        Where the nodes lie.
    soil : UniformSoil
        How heat is stored and conducted.
    surface : GreyBody or PaperRadiation
        Radiation and closure at the surface.
    turbulence : ConstantExchange
        Sensible and latent heat.
    bottom : FixedTemperature or ZeroFlux
        Lower boundary.
    initial : UniformInitial
        State at the first time.
    solver : {"auto", "modal", "tridiagonal", "jacobi"} or solver
        How a step is advanced; ``"auto"`` takes modal where the soil is uniform and constant,
        else tridiagonal.

    Raises
    ------
    ModelError
        For an unknown solver, or the modal solver over a soil that is not uniform.

    Examples
    --------
    >>> model = Model(bottom=ZeroFlux(), solver="tridiagonal")
    >>> model.forcing
    ('SWdown', 'LWdown', 'Tair')
    """

    grid: UniformGrid = field(default_factory=UniformGrid)
    soil: UniformSoil = field(default_factory=UniformSoil)
    surface: BareSurface = field(default_factory=GreyBody)
    turbulence: ConstantExchange = field(default_factory=ConstantExchange)
    bottom: FixedTemperature | ZeroFlux = field(default_factory=FixedTemperature)
    initial: UniformInitial = field(default_factory=UniformInitial)
    solver: str | Solver = "auto"

    def __post_init__(self) -> None:
        """Refuse a solver that does not exist or cannot serve these pieces."""
        if isinstance(self.solver, str) and self.solver not in ("auto", *SOLVERS):
            names = ", ".join(["auto", *SOLVERS])
            raise ModelError(f"unknown solver {self.solver!r}: expected one of {names}")
        if isinstance(self.stepper, Modal) and not self.soil.uniform:
            raise ModelError(
                "the modal solver needs a uniform soil, constant in time: use "
                'solver="tridiagonal" or "auto"'
            )

    @property
    def stepper(self) -> Solver:
        """The solver in use."""
        if not isinstance(self.solver, str):
            return self.solver
        if self.solver == "auto":
            return Modal() if self.soil.uniform else Tridiagonal()
        return SOLVERS[self.solver]()

    @property
    def parameters(self) -> dict[str, ParameterSpec]:
        """Every parameter that may be given, by name."""
        pieces = (self.surface, self.turbulence, self.soil, self.bottom, self.initial, self.grid)
        return {spec.name: spec for piece in pieces for spec in piece.parameters}

    @property
    def operator_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that the coefficients of a step may depend on."""
        return tuple(spec.name for piece in (self.soil, self.grid) for spec in piece.parameters)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables the model reads at each time."""
        return (*self.surface.forcing, *self.turbulence.forcing)

    def used(self, given: Iterable[str]) -> tuple[str, ...]:
        """Name the parameters a run uses, where the caller has named those in `given`.

        Parameters
        ----------
        given : iterable of str
            Names for which the caller has values, or which are to be estimated.

        Returns
        -------
        tuple of str
            Names of all parameters in use; those not given take their defaults.

        Raises
        ------
        ParameterError
            When the names contradict each other.
        """
        names = frozenset(given)
        return (
            *(spec.name for spec in self.surface.parameters),
            *self.turbulence.used(names),
            *(spec.name for spec in self.soil.parameters),
            *(spec.name for spec in self.bottom.parameters),
            *self.initial.used(names, self.bottom.fixed),
        )

    def net_flux(
        self,
        surface_temperature: jax.Array,
        forcing: Mapping[str, jax.Array],
        parameters: Mapping[str, jax.Array],
    ) -> jax.Array:
        """Net flux into the soil (W m-2) at a surface temperature (K), shapes (...)."""
        short, long = self.surface.upwelling(surface_temperature, forcing, parameters)
        turbulent = self.turbulence.flux(surface_temperature, forcing, parameters)
        return forcing["SWdown"] - short + forcing["LWdown"] - long - turbulent

    def surface_fluxes(
        self,
        surface_temperature: jax.Array,
        forcing: Mapping[str, jax.Array],
        parameters: Mapping[str, jax.Array],
    ) -> dict[str, jax.Array]:
        """Compute every flux at the surface (W m-2) from its temperature (K), shapes (...).

        Returns
        -------
        dict
            ``SWup``, ``LWup``, ``Qturb``, ``Qg``, and ``Qh``, ``Qle`` where the Bowen ratio is
            among the parameters.
        """
        short, long = self.surface.upwelling(surface_temperature, forcing, parameters)
        turbulent = self.turbulence.flux(surface_temperature, forcing, parameters)
        fluxes = {
            "SWup": short,
            "LWup": long,
            "Qturb": turbulent,
            "Qg": self.net_flux(surface_temperature, forcing, parameters),
        }
        if "bowen_ratio" in parameters:
            fluxes["Qh"], fluxes["Qle"] = self.turbulence.split(turbulent, parameters)
        return fluxes

    def to_json(self) -> str:
        """Write the model as text, for attributes of a result; `from_json` reads it.

        Examples
        --------
        >>> Model.from_json(Model().to_json()) == Model()
        True
        """
        pieces = {piece.name: getattr(self, piece.name) for piece in dataclasses.fields(self)}
        return json.dumps(pieces, default=_describe)

    @classmethod
    def from_json(cls, text: str) -> Model:
        """Build the model that `to_json` wrote.

        Raises
        ------
        ModelError
            For a piece or a setting this version does not know.
        """
        try:
            return cls(**{name: _build(value) for name, value in json.loads(text).items()})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"cannot rebuild the model {text!r}: {error!r}; it may come from another version "
                "of xlsm: pass model= explicitly"
            ) from error


def _describe(piece: Any) -> dict[str, Any]:
    return {"piece": type(piece).__name__, **dataclasses.asdict(piece)}


def _build(description: Any) -> Any:
    if isinstance(description, str):  # a solver by name
        return description
    settings = dict(description)
    return PIECES[settings.pop("piece")](**settings)
