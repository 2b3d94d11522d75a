"""Figures of fits and parameters, drawn with matplotlib."""

from xlsm.plot.accessor import PlotAccessor

__all__ = ["PlotAccessor"]
