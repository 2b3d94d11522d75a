"""Three ways to advance a step behind one interface, equal to tolerance."""

from xlsm.model.solvers.base import Solver
from xlsm.model.solvers.jacobi import Jacobi
from xlsm.model.solvers.modal import Modal
from xlsm.model.solvers.tridiagonal import Tridiagonal

__all__ = ["Jacobi", "Modal", "Solver", "Tridiagonal"]
