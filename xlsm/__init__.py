"""xarray with a land surface: simulate it, and estimate its parameters.

Importing the package adds ``.lsm`` to every `xarray.Dataset`; see `xlsm.accessor.LSMAccessor`.
"""

from xlsm import errors, models, tutorial
from xlsm._version import __version__
from xlsm.accessor import LSMAccessor
from xlsm.free import Parameter
from xlsm.inference.invert import Status
from xlsm.model.bottom import FixedTemperature, UniformInitial, ZeroFlux
from xlsm.model.grid import UniformGrid
from xlsm.model.model import Model
from xlsm.model.soil import UniformSoil
from xlsm.model.solvers import Jacobi, Modal, Tridiagonal
from xlsm.model.surface import GreyBody, PaperRadiation
from xlsm.model.turbulence import ConstantExchange

__all__ = [
    "ConstantExchange",
    "FixedTemperature",
    "GreyBody",
    "Jacobi",
    "LSMAccessor",
    "Modal",
    "Model",
    "PaperRadiation",
    "Parameter",
    "Status",
    "Tridiagonal",
    "UniformGrid",
    "UniformInitial",
    "UniformSoil",
    "ZeroFlux",
    "__version__",
    "errors",
    "models",
    "tutorial",
]
