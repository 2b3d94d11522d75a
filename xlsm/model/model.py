"""The forward model as one frozen object composed of pieces."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field

import jax

from xlsm.errors import ModelError
from xlsm.model.bottom import Bottom, FixedTemperature
from xlsm.model.data_grid import AutoGrid
from xlsm.model.grid import Grid, UniformGrid
from xlsm.model.initial import Initial, UniformInitial
from xlsm.model.parameters import ParameterSpec
from xlsm.model.piece import Facts, Piece, from_text, to_text
from xlsm.model.soil import Soil, UniformSoil
from xlsm.model.solvers import Enthalpy, Jacobi, Modal, Solver, Tridiagonal
from xlsm.model.stepping import BackwardEuler, Stepping
from xlsm.model.surface import BareSurface, EnergyBalance, Surface
from xlsm.model.text import html, plain
from xlsm.model.turbulence import ConstantExchange, Turbulence

__all__ = ["Model"]

Values = Mapping[str, jax.Array]

SOLVERS: dict[str, type[Solver]] = {
    "enthalpy": Enthalpy,
    "jacobi": Jacobi,
    "modal": Modal,
    "tridiagonal": Tridiagonal,
}
#: What each field must be, for the error where it is something else.
KINDS: dict[str, type[Piece]] = {
    "grid": Grid,
    "soil": Soil,
    "surface": Surface,
    "turbulence": Turbulence,
    "bottom": Bottom,
    "initial": Initial,
    "stepping": Stepping,
}


@dataclasses.dataclass(frozen=True, repr=False)
class Model:
    """A soil column under a surface energy balance.

    Pieces are frozen and hold settings only; parameters are arrays given at run time. A model
    can be hashed, compared, pickled, and written as text (`to_json`).

    Parameters
    ----------
    grid : Grid or "auto"
        Where the nodes lie; ``"auto"`` is `AutoGrid`.
    soil : Soil
        How heat is stored and conducted.
    surface : Surface
        Radiation and closure at the surface.
    turbulence : Turbulence
        Sensible and latent heat.
    bottom : Bottom
        Lower boundary.
    initial : Initial
        State at the first time.
    stepping : Stepping
        How a time step is made.
    solver : {"auto", "modal", "tridiagonal", "enthalpy", "jacobi"} or Solver
        How the implicit equations of a step are solved; ``"auto"`` takes modal where soil and
        grid are uniform and constant, enthalpy where the soil freezes, else tridiagonal.

    Raises
    ------
    ModelError
        For an unknown solver, or pieces that do not fit each other.

    Examples
    --------
    >>> from xlsm.model.bottom import ZeroFlux
    >>> model = Model(bottom=ZeroFlux(), solver="tridiagonal")
    >>> model.forcing
    ('SWdown', 'LWdown', 'Tair')
    """

    grid: Grid | str = field(default_factory=UniformGrid)
    soil: Soil = field(default_factory=UniformSoil)
    surface: Surface = field(default_factory=BareSurface)
    turbulence: Turbulence = field(default_factory=ConstantExchange)
    bottom: Bottom = field(default_factory=FixedTemperature)
    initial: Initial = field(default_factory=UniformInitial)
    stepping: Stepping = field(default_factory=BackwardEuler)
    solver: str | Solver = "auto"

    def __post_init__(self) -> None:
        """Refuse pieces of the wrong kind, or that do not fit each other."""
        if self.grid == "auto":
            object.__setattr__(self, "grid", AutoGrid())
        for name, kind in KINDS.items():
            if not isinstance(getattr(self, name), kind):
                raise ModelError(
                    f"{name} must be a {kind.__name__}, such as {_examples(kind)}; got "
                    f"{getattr(self, name)!r}"
                )
        if isinstance(self.solver, str) and self.solver not in ("auto", *SOLVERS):
            names = ", ".join(["auto", *SOLVERS])
            raise ModelError(f"unknown solver {self.solver!r}: expected one of {names}")
        for piece in (*self.pieces, self.stepper):
            piece.check(self)

    def __repr__(self) -> str:
        return plain(self)

    def _repr_html_(self) -> str:
        return html(self)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All pieces but the solver, in the order in which their parameters are listed."""
        names = ("surface", "turbulence", "soil", "bottom", "initial", "grid", "stepping")
        unseen = () if self.surface.balanced else ("turbulence",)
        return tuple(getattr(self, name) for name in names if name not in unseen)

    @property
    def layout(self) -> Grid:
        """The grid."""
        if isinstance(self.grid, str):
            raise ModelError(f"grid must be a Grid or 'auto', got {self.grid!r}")
        return self.grid

    @property
    def stepper(self) -> Solver:
        """The solver in use."""
        if not isinstance(self.solver, str):
            return self.solver
        if self.solver == "auto":
            if self.soil.nonlinear:
                return Enthalpy()
            return Modal() if Modal.serves(self) else Tridiagonal()
        return SOLVERS[self.solver]()

    @property
    def parameters(self) -> dict[str, ParameterSpec]:
        """Every parameter that may be given, by name."""
        return {spec.name: spec for piece in self.pieces for spec in piece.parameters}

    @property
    def operator_parameters(self) -> tuple[str, ...]:
        """Names of the parameters that the coefficients of a step may depend on."""
        return tuple(spec.name for spec in self.soil.parameters)

    @property
    def forcing(self) -> tuple[str, ...]:
        """Variables the model reads at each time."""
        return tuple(dict.fromkeys(name for piece in self.pieces for name in piece.forcing))

    @property
    def profiles(self) -> tuple[str, ...]:
        """Those of the forcing that have a depth."""
        return self.soil.forcing

    @property
    def tolerated(self) -> tuple[str, ...]:
        """Those of the forcing that may be missing at times."""
        return tuple(name for piece in self.pieces for name in piece.tolerated)

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
        return tuple(name for piece in self.pieces for name in piece.used(names, self))

    def suited(self, varying: Collection[str]) -> Model:
        """Give the model with a solver for parameters that vary in time.

        Raises
        ------
        ModelError
            If one is only of the first time, or the solver cannot do it.
        """

        def ours(piece: Piece) -> list[str]:
            return [spec.name for spec in piece.parameters if spec.name in varying]

        if only := ours(self.initial):
            raise ModelError(
                f"{', '.join(only)} cannot vary in time: it is that of the first time, and no other"
            )
        moving = ours(self.bottom)
        if not moving or not isinstance(self.stepper, Modal):
            return self
        if self.solver != "auto":
            raise ModelError(
                "the modal solver needs a bottom that is constant in time, and "
                f'{", ".join(moving)} varies: use solver="tridiagonal" or "auto"'
            )
        return dataclasses.replace(self, solver="tridiagonal")

    def outputs(self, names: Collection[str]) -> tuple[str, ...]:
        """Variables the model simulates, where the parameters in `names` are in use."""
        if not self.surface.balanced:
            return ("SoilTemp", "Qg")
        split = ("Qh", "Qle") if self.turbulence.separates(names) else ()
        return ("SoilTemp", "AvgSurfT", "SWup", "LWup", *split, "Qturb", "Qg")

    def resolved(self, facts: Facts) -> Model:
        """Give the model with what the data decide filled in."""
        pieces = {name: getattr(self, name).resolved(facts) for name in KINDS}
        return dataclasses.replace(self, **pieces)

    def fluxes(
        self, surface_temperature: jax.Array, forcing: Values, parameters: Values
    ) -> dict[str, jax.Array]:
        """Compute every flux at the surface (W m-2) from its temperature (K), shapes (...).

        Returns
        -------
        dict
            ``SWup``, ``LWup``, ``Qturb``, ``Qg``, and ``Qh``, ``Qle`` where they are known one
            by one; nothing where the surface is not balanced.
        """
        if not isinstance(self.surface, EnergyBalance):
            return {}
        short = self.surface.albedo.reflected(forcing, parameters)
        long = self.surface.radiation.upwelling(surface_temperature, forcing, parameters)
        net_radiation = forcing["SWdown"] - short + forcing["LWdown"] - long
        turbulent = self.turbulence.fluxes(surface_temperature, net_radiation, forcing, parameters)
        into_soil = net_radiation - turbulent["Qturb"]
        for source in self.surface.sources:
            into_soil = into_soil + forcing[source]
        return {"SWup": short, "LWup": long, **turbulent, "Qg": into_soil}

    def close_surface(
        self,
        parameters: Values,
        forcing: Values,
        offset: jax.Array,
        slope: jax.Array,
        guess: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """Surface temperature and flux into the soil, given the column's answer to a flux.

        See `Surface.solve`.
        """

        def net_flux(temperature: jax.Array) -> jax.Array:
            return self.fluxes(temperature, forcing, parameters)["Qg"]

        linear = self.turbulence.linear
        return self.surface.solve(
            net_flux, offset, slope, guess, forcing, parameters, linear=linear
        )

    def to_json(self) -> str:
        """Write the model as text, for attributes of a result; `from_json` reads it.

        Examples
        --------
        >>> Model.from_json(Model().to_json()) == Model()
        True
        """
        return to_text({name.name: getattr(self, name.name) for name in dataclasses.fields(self)})

    @classmethod
    def from_json(cls, text: str) -> Model:
        """Build the model that `to_json` wrote.

        Raises
        ------
        ModelError
            For a piece or a setting this version does not know.
        """
        return from_text(text, cls)


def _examples(kind: type[Piece]) -> str:
    """Names of some pieces of a kind."""
    pieces, names = list(kind.__subclasses__()), []
    for piece in pieces:
        pieces.extend(piece.__subclasses__())
        if not inspect.isabstract(piece) and piece.__module__.startswith("xlsm."):
            names.append(f"{piece.__name__}()")
    return ", ".join(names)
