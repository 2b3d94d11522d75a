"""Models by name."""

from __future__ import annotations

from xlsm.errors import ModelError
from xlsm.model.bottom import ObservedBottom
from xlsm.model.data_grid import SensorGrid
from xlsm.model.followed import ObservedSurface
from xlsm.model.initial import ObservedInitial
from xlsm.model.model import Model
from xlsm.model.radiation import PaperRadiation
from xlsm.model.surface import BareSurface

__all__ = ["default", "get", "huang2025", "thermometers"]


def default() -> Model:
    """Give the default model: a grey surface over a uniform column with a fixed deep temperature.

    Examples
    --------
    >>> default().grid.depth
    1.0
    """
    return Model()


def huang2025() -> Model:
    """Give the model of Huang, Heaney & van Reeuwijk (2025), arXiv 2505.02979, to the letter.

    It differs from the default in its longwave radiation: all of LWdown is absorbed.

    Examples
    --------
    >>> huang2025() == get("huang2025")
    True
    """
    return Model(surface=BareSurface(radiation=PaperRadiation()))


def thermometers() -> Model:
    """Give a model that needs soil temperatures only, at three depths or more.

    The shallowest and the deepest are followed, those between are what can be observed, and
    what can be learned is the diffusivity of the soil: no forcing at all.

    Examples
    --------
    >>> thermometers().outputs(())
    ('SoilTemp', 'Qg')
    """
    return Model(
        grid=SensorGrid(),
        surface=ObservedSurface(),
        bottom=ObservedBottom(),
        initial=ObservedInitial(),
    )


PRESETS = {"default": default, "huang2025": huang2025, "thermometers": thermometers}


def get(model: str | Model | None) -> Model:
    """Give a model by name, the default for None, or the model itself.

    Raises
    ------
    ModelError
        For an unknown name.
    """
    if model is None:
        return default()
    if isinstance(model, Model):
        return model
    if model in PRESETS:
        return PRESETS[model]()
    raise ModelError(
        f"unknown model {model!r}: expected an xlsm.Model or one of {', '.join(PRESETS)}"
    )
