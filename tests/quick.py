"""Compile in little time what is run once.

Nearly all the time of the tests is compiling. Where a test is about formulas, and compiles the
model itself, XLA's older code generator does, without LLVM's optimisations: it takes a third of the
time, and its code runs two or three times as long. Most selections compile all so, see conftest.py;
with these functions `pytest -m bits` does, too.
"""

import functools

import jax

_OPTIONS = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}


@functools.cache
def _options():
    """The options, or none with a version of XLA that has them no more."""
    try:
        jax.jit(lambda x: x, compiler_options=_OPTIONS)(0.0)
    except jax.errors.JaxRuntimeError:
        return None
    return _OPTIONS


def jit(function, **settings):
    """As ``jax.jit``."""
    return jax.jit(function, compiler_options=_options(), **settings)
