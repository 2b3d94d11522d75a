"""xarray with a land surface: simulate it, and estimate its parameters.

Importing the package adds ``.lsm`` to every `xarray.Dataset`; see `xlsm.accessor.LSMAccessor`.
"""

from xlsm import errors, models, tutorial
from xlsm._version import __version__
from xlsm.accessor import LSMAccessor
from xlsm.compare import compare
from xlsm.comparison import Comparison
from xlsm.diffusivity import diffusivity
from xlsm.free import Parameter
from xlsm.inference.invert import Status
from xlsm.inference.likelihood import Gaussian, Huber, StudentT
from xlsm.longwave import fill_longwave
from xlsm.model.aerodynamics import BulkTransfer, ConstantTransfer, WindTransfer
from xlsm.model.albedo import ConstantAlbedo, GivenAlbedo, ObservedAlbedo, SolarAlbedo
from xlsm.model.bottom import AnnualTemperature, FixedTemperature, ObservedBottom, ZeroFlux
from xlsm.model.bulk import SeparateExchange
from xlsm.model.data_grid import AutoGrid, SensorGrid
from xlsm.model.followed import ObservedSurface
from xlsm.model.freezing import FreezingSoil
from xlsm.model.grid import StretchedGrid, UniformGrid
from xlsm.model.initial import ObservedInitial, ProfileInitial, UniformInitial
from xlsm.model.latent import (
    BowenRatio,
    GivenLatent,
    MoistureAvailability,
    NoLatent,
    PriestleyTaylor,
    SurfaceResistance,
)
from xlsm.model.layers import LayeredSoil
from xlsm.model.model import Model
from xlsm.model.moist import MoistSoil
from xlsm.model.moist_conductivity import JohansenConductivity, LuConductivity
from xlsm.model.radiation import GreyBody, PaperRadiation
from xlsm.model.soil import UniformSoil
from xlsm.model.solvers import Enthalpy, Jacobi, Modal, Tridiagonal
from xlsm.model.spin_up import SpunUp
from xlsm.model.stability import Louis, MoninObukhov, Neutral
from xlsm.model.stepping import SDIRK2, BackwardEuler
from xlsm.model.surface import BareSurface, SkinLayer
from xlsm.model.turbulence import ConstantExchange, WindExchange
from xlsm.observation import Observation
from xlsm.pipeline.flags import Flag
from xlsm.priors import LogNormal, Normal, Uniform
from xlsm.stations import open_stations
from xlsm.trees import LSMTreeAccessor

__all__ = [
    "SDIRK2",
    "AnnualTemperature",
    "AutoGrid",
    "BackwardEuler",
    "BareSurface",
    "BowenRatio",
    "BulkTransfer",
    "Comparison",
    "ConstantAlbedo",
    "ConstantExchange",
    "ConstantTransfer",
    "Enthalpy",
    "FixedTemperature",
    "Flag",
    "FreezingSoil",
    "Gaussian",
    "GivenAlbedo",
    "GivenLatent",
    "GreyBody",
    "Huber",
    "Jacobi",
    "JohansenConductivity",
    "LSMAccessor",
    "LSMTreeAccessor",
    "LayeredSoil",
    "LogNormal",
    "Louis",
    "LuConductivity",
    "Modal",
    "Model",
    "MoistSoil",
    "MoistureAvailability",
    "MoninObukhov",
    "Neutral",
    "NoLatent",
    "Normal",
    "Observation",
    "ObservedAlbedo",
    "ObservedBottom",
    "ObservedInitial",
    "ObservedSurface",
    "PaperRadiation",
    "Parameter",
    "PriestleyTaylor",
    "ProfileInitial",
    "SensorGrid",
    "SeparateExchange",
    "SkinLayer",
    "SolarAlbedo",
    "SpunUp",
    "Status",
    "StretchedGrid",
    "StudentT",
    "SurfaceResistance",
    "Tridiagonal",
    "Uniform",
    "UniformGrid",
    "UniformInitial",
    "UniformSoil",
    "WindExchange",
    "WindTransfer",
    "ZeroFlux",
    "__version__",
    "compare",
    "diffusivity",
    "errors",
    "fill_longwave",
    "models",
    "open_stations",
    "tutorial",
]
