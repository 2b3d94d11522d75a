"""Linear algebra of many stations: right, and never waiting for itself."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from xlsm.inference.linear import eigh, inverse, solve_positive

pytestmark = pytest.mark.usefixtures("x64")


def positive(count, *batch):
    """Positive definite matrices on unlike scales, batch axes last."""
    random = np.random.default_rng(0)
    root = random.standard_normal((*batch, count, count))
    scale = 10 ** random.uniform(-1, 1, (*batch, count))
    matrix = root @ np.swapaxes(root, -1, -2) + np.eye(count)
    return np.moveaxis(matrix * scale[..., None] * scale[..., None, :], (-2, -1), (0, 1))


@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_solutions_are_those_of_numpy(count, batch):
    matrix = positive(count, *batch)
    right = np.random.default_rng(1).standard_normal((count, 2, *batch))
    first = np.moveaxis(matrix, (0, 1), (-2, -1))
    expected = np.moveaxis(
        np.linalg.solve(first, np.moveaxis(right, (0, 1), (-2, -1))), (-2, -1), (0, 1)
    )
    found = jax.jit(solve_positive)(matrix, right)
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    inverted = np.moveaxis(np.asarray(inverse(matrix)), (0, 1), (-2, -1))
    np.testing.assert_allclose(inverted, np.linalg.inv(first), rtol=1e-6)
    values, vectors = eigh(matrix)
    np.testing.assert_allclose(np.moveaxis(values, 0, -1), np.linalg.eigvalsh(first), rtol=1e-6)
    assert vectors.shape == matrix.shape


def test_damping_is_in_units_of_the_diagonal():
    matrix = positive(4)
    damped = solve_positive(matrix, np.ones((4, 1)), 0.5)
    expected = np.linalg.solve(matrix + 0.5 * np.diag(np.diag(matrix)), np.ones(4))
    np.testing.assert_allclose(damped[:, 0], expected, rtol=1e-9)


MANY_AT_ONCE = """
import jax, numpy as np
from xlsm.inference.linear import eigh, inverse, solve_positive

def several(matrix):
    total = 0.0
    for k in range(3):
        moved = matrix * (1 + k)
        total += eigh(moved)[0].sum() + inverse(moved).sum()
        total += solve_positive(moved, moved[:, :1]).sum()
    return total

with jax.enable_x64(True):
    matrix = np.eye(44)[..., None] * np.linspace(1, 2, 16)
    for _ in range(20):
        jax.block_until_ready(jax.jit(several)(matrix))
"""


def test_many_at_once_do_not_wait_for_each_other():
    """As calls of jaxlib's LAPACK with whole batches do, for ever, on a machine of few cores."""
    subprocess.run([sys.executable, "-c", MANY_AT_ONCE], check=True, timeout=300)
