"""xarray with a land surface: simulate it, and estimate its parameters.

Importing the package adds ``.lsm`` to every `xarray.Dataset`; see `xlsm.accessor.LSMAccessor`.
"""

from xlsm import errors, models, tutorial
from xlsm._version import __version__
from xlsm.accessor import LSMAccessor
from xlsm.diffusivity import diffusivity
from xlsm.free import Parameter
from xlsm.inference.invert import Status
from xlsm.longwave import fill_longwave
from xlsm.model.albedo import ConstantAlbedo, GivenAlbedo, ObservedAlbedo, SolarAlbedo
from xlsm.model.bottom import AnnualTemperature, FixedTemperature, ObservedBottom, ZeroFlux
from xlsm.model.followed import ObservedSurface
from xlsm.model.grid import AutoGrid, SensorGrid, StretchedGrid, UniformGrid
from xlsm.model.initial import ObservedInitial, ProfileInitial, SpunUp, UniformInitial
from xlsm.model.model import Model
from xlsm.model.radiation import GreyBody, PaperRadiation
from xlsm.model.soil import UniformSoil
from xlsm.model.solvers import Jacobi, Modal, Tridiagonal
from xlsm.model.stepping import SDIRK2, BackwardEuler
from xlsm.model.surface import BareSurface, SkinLayer
from xlsm.model.turbulence import ConstantExchange, WindExchange

__all__ = [
    "SDIRK2",
    "AnnualTemperature",
    "AutoGrid",
    "BackwardEuler",
    "BareSurface",
    "ConstantAlbedo",
    "ConstantExchange",
    "FixedTemperature",
    "GivenAlbedo",
    "GreyBody",
    "Jacobi",
    "LSMAccessor",
    "Modal",
    "Model",
    "ObservedAlbedo",
    "ObservedBottom",
    "ObservedInitial",
    "ObservedSurface",
    "PaperRadiation",
    "Parameter",
    "ProfileInitial",
    "SensorGrid",
    "SkinLayer",
    "SolarAlbedo",
    "SpunUp",
    "Status",
    "StretchedGrid",
    "Tridiagonal",
    "UniformGrid",
    "UniformInitial",
    "UniformSoil",
    "WindExchange",
    "ZeroFlux",
    "__version__",
    "diffusivity",
    "errors",
    "fill_longwave",
    "models",
    "tutorial",
]
