"""Ways to advance a step behind one interface, equal to tolerance."""

from xlsm.model.solvers.base import Solver
from xlsm.model.solvers.enthalpy import Enthalpy
from xlsm.model.solvers.jacobi import Jacobi
from xlsm.model.solvers.modal import Modal
from xlsm.model.solvers.tridiagonal import Tridiagonal

__all__ = ["Enthalpy", "Jacobi", "Modal", "Solver", "Tridiagonal"]
