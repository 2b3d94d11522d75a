"""Imports point one way, the physics is pure JAX, and nothing touches JAX's global switches."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "xlsm"
FILES = sorted(PACKAGE.rglob("*.py"))

PURE = {"blackjax", "jax", "numpy", "optax"}

# What the modules of each layer may import from the package, innermost layer first. What is not
# named here (accessor, io, plot, command line, the package itself) is outside: free to import
# anything, and imported by nothing that is named.
PHYSICS = {"xlsm.errors", "xlsm.model"}
INFERENCE = {*PHYSICS, "xlsm.inference"}
INPUT = {
    *PHYSICS,
    "xlsm.arguments",
    "xlsm.axes",
    "xlsm.dims",
    "xlsm.inputs",
    "xlsm.models",
    "xlsm.observation",
    "xlsm.position",
    "xlsm.priors",
    "xlsm.solar",
    "xlsm.units",
    "xlsm.validate",
    "xlsm.variables",
    "xlsm.windows",
}
PIPELINE = {*INFERENCE, "xlsm._version", "xlsm.models", "xlsm.pipeline", "xlsm.variables"}
VERBS = {
    *INPUT,
    *PIPELINE,
    "xlsm.channels",
    "xlsm.candidates",
    "xlsm.check",
    "xlsm.compare",
    "xlsm.comparison",
    "xlsm.diffusivity",
    "xlsm.estimate",
    "xlsm.free",
    "xlsm.guesses",
    "xlsm.observing",
    "xlsm.harmonics",
    "xlsm.holdout",
    "xlsm.identify",
    "xlsm.judge",
    "xlsm.longwave",
    "xlsm.looking",
    "xlsm.nuisance",
    "xlsm.prepare",
    "xlsm.priors",
    "xlsm.profiles",
    "xlsm.measures",
    "xlsm.notices",
    "xlsm.sample",
    "xlsm.scores",
    "xlsm.series",
    "xlsm.simulate",
    "xlsm.sky",
    "xlsm.varying",
    "xlsm.verdict",
    "xlsm.words",
}
#: Of JAX's switches those of its compilation cache, which are global, and only if a user asks.
MAY_SET = {"xlsm.pipeline.compiled"}
MAY_IMPORT: dict[str, set[str]] = {"xlsm.errors": set()}
for group in (PHYSICS, INFERENCE, INPUT, PIPELINE, VERBS):
    for layer in sorted(group):
        MAY_IMPORT.setdefault(layer, group)


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: str, is_package: bool = False) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything imported, at the top of the file or inside it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                keep = len(parents) - node.level + is_package
                base = ".".join([*parents[:keep], *([base] if base else [])])
            for alias in node.names:
                # `from xlsm import x` may bring a module: judge it by its full name
                yield node.lineno, f"{base}.{alias.name}"


def inside(name: str, layers: set[str]) -> bool:
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)


def faults(source: str, module: str, is_package: bool = False) -> list[str]:
    """Say what a module does that its layer must not; empty when all is well."""
    found = []
    for layer, allowed in MAY_IMPORT.items():
        if not inside(module, {layer}):
            continue
        pure = layer in {"xlsm.model", "xlsm.inference"}
        for line, name in imports(source, module, is_package):
            top = name.partition(".")[0]
            if top == "xlsm":
                if not inside(name, allowed):
                    found.append(f"{module}:{line} {layer} must not import {name}")
            elif pure and top not in PURE and top not in sys.stdlib_module_names:
                found.append(f"{module}:{line} {layer} is pure JAX, yet imports {name}")
    if module not in MAY_SET:
        found += [f"{module}:{line} sets a global JAX switch" for line in global_switches(source)]
    return found


def global_switches(source: str) -> Iterator[int]:
    """Yield the lines that change JAX's process-wide configuration.

    ``jax.enable_x64(True)`` is a context manager that ends with its block, so it is welcome.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.endswith("config.update") and "dask" not in called:
                yield node.lineno
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                written = ast.unparse(target)
                if "config.jax_" in written or "JAX_" in written:
                    yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_inward_and_leave_jax_alone(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert faults(source, module_name(path), path.name == "__init__.py") == []


def test_the_layers_are_there_to_be_checked() -> None:
    names = {module_name(path) for path in FILES}
    missing = {
        layer for layer in ("xlsm.errors", "xlsm.model", "xlsm.inference") if layer not in names
    }
    assert not missing
    assert any(name.startswith("xlsm.model.solvers") for name in names)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("xlsm.model.column", "import xarray as xr"),
        ("xlsm.model.column", "import jax, dask.array"),
        ("xlsm.model.column", "def late():\n    from pandas import Timestamp"),
        ("xlsm.model.column", "from ..inference import fisher"),
        ("xlsm.model.column", "from .. import units"),
        ("xlsm.errors", "from xlsm.model import grid"),
        ("xlsm.model.column", "from xlsm import validate"),
        ("xlsm.model.column", "import scipy.linalg"),
        ("xlsm.inference.fisher", "from xlsm.pipeline import write"),
        ("xlsm.inference.fisher", "from xlsm.estimate import estimate"),
        ("xlsm.variables", "import xlsm.check"),
        ("xlsm.validate", "from xlsm.accessor import LSMAccessor"),
        ("xlsm.simulate", "from xlsm.accessor import LSMAccessor"),
        ("xlsm.estimate", "from xlsm import cli"),
        ("xlsm.pipeline.write", "from xlsm.estimate import estimate"),
        ("xlsm.estimate", "import jax\njax.config.update('jax_enable_x64', True)"),
        ("xlsm.plot.fit", "from jax import config\nconfig.update('jax_enable_x64', True)"),
        ("xlsm.model.column", "import jax\njax.config.jax_enable_x64 = True"),
        ("xlsm.cli", "import os\nos.environ['JAX_ENABLE_X64'] = '1'"),
    ],
)
def test_a_fault_is_found(module: str, source: str) -> None:
    assert len(faults(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("xlsm.model.column", "import math\nimport jax.numpy as jnp\nfrom . import soil"),
        ("xlsm.model.solvers.modal", "from ..grid import UniformGrid"),
        ("xlsm.inference.fisher", "import optax\nfrom xlsm.model import grid\nimport numpy as np"),
        ("xlsm.estimate", "import jax\nwith jax.enable_x64(True):\n    pass"),
        ("xlsm.simulate", "import xarray as xr\nfrom xlsm.errors import LSMError"),
        ("xlsm.accessor", "from xlsm import estimate, simulate, validate"),
        ("xlsm.pipeline.write", "import dask\ndask.config.update({}, {})"),
    ],
)
def test_what_is_right_is_let_through(module: str, source: str) -> None:
    assert faults(source, module) == []


def test_relative_imports_of_a_package_start_at_itself() -> None:
    assert list(imports("from .a import b", "xlsm.model", is_package=True)) == [
        (1, "xlsm.model.a.b")
    ]
