import jax
import pytest


@pytest.fixture
def x64():
    """Double precision for tests that call the kernels directly; the process stays as it is."""
    with jax.enable_x64(True):
        yield
