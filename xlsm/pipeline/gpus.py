"""Which GPUs JAX would use, found without JAX: to look starts CUDA, and takes their memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from distributed import Nanny

__all__ = ["GPUNanny", "gpus"]

#: What CUDA reads to know its devices.
VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")


def gpus() -> list[str]:
    """List the NVIDIA GPUs that JAX would compute on, as ``CUDA_VISIBLE_DEVICES`` names them.

    Returns
    -------
    list of str
        Numbers, or whatever that variable holds already. Empty without such a device, without
        JAX's plugin for CUDA, or where ``JAX_PLATFORMS`` asks for something else.
    """
    wanted = os.environ.get("JAX_PLATFORMS", "").replace(" ", "").split(",")
    if wanted != [""] and not {"cuda", "gpu"} & set(wanted):
        return []
    if not any("cuda" in plugin.name for plugin in entry_points(group="jax_plugins")):
        return []
    # by their number: nvidiactl, nvidia-uvm and others are no devices to compute on
    found = [path for path in DEVICES.glob("nvidia*") if path.name[6:].isdigit()]
    if not found:
        return []
    visible = os.environ.get(VISIBLE)
    if visible is None:
        # CUDA counts from 0, whatever the numbers of those that a container was given
        return [str(number) for number in range(len(found))]
    names = [name.strip() for name in visible.split(",")]
    # as CUDA reads it: what comes after something invalid is not seen
    end = next((i for i, name in enumerate(names) if name in ("", "-1", "NoDevFiles")), len(names))
    return names[:end]


class GPUNanny(Nanny):
    """Starts a worker, and again if it dies, that sees one GPU: that of its number.

    Parameters
    ----------
    gpus : sequence of str
        Of all workers.
    name : int
        Number of the worker.
    env : dict, optional
        Other environment variables of it.
    """

    def __init__(
        self,
        *args: Any,
        gpus: Sequence[str],
        name: int,
        env: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        options |= {"name": name, "env": {**(env or {}), VISIBLE: gpus[name]}}
        super().__init__(*args, **options)
