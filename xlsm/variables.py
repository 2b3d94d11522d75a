"""The words of xlsm: names, CF standard names, units and plausible ranges of all its data.

Names follow ALMA, attributes follow CF; every ``standard_name`` is in the CF standard name table
(version 93). A flux is positive in the direction its standard name says.
"""

from __future__ import annotations

import dataclasses
import math

__all__ = ["DEPTH_ATTRIBUTES", "OBSERVABLES", "VARIABLES", "Variable", "attributes", "plausible"]


@dataclasses.dataclass(frozen=True)
class Variable:
    """One variable xlsm knows.

    Parameters
    ----------
    name : str
        ALMA name, the one looked for in a Dataset.
    standard_name : str or None
        CF standard name; None where the CF table has none that fits.
    units : str
        Canonical units: everything inside xlsm is in these.
    long_name : str
        What it is, and which way is positive.
    dims : tuple of str
        Core dimensions it may have; all others are batch dimensions. ``time`` must be there.
    plausible : tuple of float
        Range outside which a typical value cannot be what it claims. Wide on purpose: it finds
        wrong units and wrong signs, not bad sensors.
    error : float or None
        Default standard error as an observation; None for what xlsm does not simulate.
    aliases : tuple of str
        What other conventions (FLUXNET, CMIP, WRF) call it, to suggest a renaming.
    """

    name: str
    standard_name: str | None
    units: str
    long_name: str
    dims: tuple[str, ...]
    plausible: tuple[float, float]
    error: float | None = None
    aliases: tuple[str, ...] = ()


_TIME = ("time",)
_PROFILE = ("time", "depth")

VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable(
            "SWdown",
            "surface_downwelling_shortwave_flux_in_air",
            "W m-2",
            "Downwelling shortwave radiation, positive down",
            _TIME,
            (-50.0, 1600.0),
            aliases=("SW_IN", "SWIN", "Rg", "rsds", "SWDOWN", "Kdown"),
        ),
        Variable(
            "LWdown",
            "surface_downwelling_longwave_flux_in_air",
            "W m-2",
            "Downwelling longwave radiation, positive down",
            _TIME,
            (-50.0, 800.0),
            aliases=("LW_IN", "LWIN", "rlds", "GLW", "Ldown"),
        ),
        Variable(
            "Tair",
            "air_temperature",
            "K",
            "Air temperature",
            _TIME,
            (180.0, 340.0),
            aliases=("TA", "T2", "T2M", "tas", "T_air"),
        ),
        Variable(
            "Qair",
            "specific_humidity",
            "kg kg-1",
            "Specific humidity of the air",
            _TIME,
            (-0.001, 0.06),
            aliases=("huss", "Q2", "q"),
        ),
        Variable(
            "PSurf",
            "surface_air_pressure",
            "Pa",
            "Air pressure at the surface",
            _TIME,
            (30e3, 115e3),
            aliases=("PA", "ps", "pressure"),
        ),
        Variable(
            "Wind",
            "wind_speed",
            "m s-1",
            "Wind speed",
            _TIME,
            (0.0, 100.0),
            aliases=("WS", "U", "sfcWind"),
        ),
        Variable(
            "Rainf",
            "rainfall_flux",
            "kg m-2 s-1",
            "Rainfall rate",
            _TIME,
            (-1e-6, 0.1),
            aliases=("P", "pr", "precip", "rain"),
        ),
        Variable(
            "SoilMoist",
            "volume_fraction_of_condensed_water_in_soil",
            "1",
            "Volume fraction of water in the soil",
            _PROFILE,
            (0.0, 1.0),
            aliases=("SWC", "VWC"),
        ),
        Variable(
            "Albedo",
            "surface_albedo",
            "1",
            "Broadband shortwave albedo of the surface",
            _TIME,
            (0.0, 1.0),
        ),
        Variable(
            "SolarElevation",
            "solar_elevation_angle",
            "degree",
            "Elevation of the sun above the horizon",
            _TIME,
            (-90.0, 90.0),
        ),
        # CF's nearest, surface_upward_heat_flux_due_to_anthropogenic_energy_consumption, is a
        # flux from the surface into the air; Qanth is a source of heat to the surface balance
        Variable(
            "Qanth",
            None,
            "W m-2",
            "Anthropogenic heat added to the surface, positive into the surface",
            _TIME,
            (-100.0, 3000.0),
            aliases=("QF",),
        ),
        Variable(
            "SoilTemp",
            "soil_temperature",
            "K",
            "Soil temperature",
            _PROFILE,
            (200.0, 380.0),
            error=0.2,
            aliases=("TS", "TSOIL", "tsl", "TSLB", "soil_temp"),
        ),
        Variable(
            "AvgSurfT",
            "surface_temperature",
            "K",
            "Temperature of the land surface",
            _TIME,
            (180.0, 400.0),
            error=0.5,
            aliases=("RadT", "TSK", "LST", "skt", "Tsurf"),
        ),
        Variable(
            "SWup",
            "surface_upwelling_shortwave_flux_in_air",
            "W m-2",
            "Upwelling shortwave radiation, positive up",
            _TIME,
            (-50.0, 1600.0),
            error=5.0,
            aliases=("SW_OUT", "SWOUT", "rsus", "Kup"),
        ),
        Variable(
            "LWup",
            "surface_upwelling_longwave_flux_in_air",
            "W m-2",
            "Upwelling longwave radiation, positive up",
            _TIME,
            (-50.0, 1500.0),
            error=5.0,
            aliases=("LW_OUT", "LWOUT", "rlus", "Lup"),
        ),
        Variable(
            "Qh",
            "surface_upward_sensible_heat_flux",
            "W m-2",
            "Sensible heat flux, positive up",
            _TIME,
            (-1000.0, 1500.0),
            error=20.0,
            aliases=("H", "hfss", "SH", "HFX"),
        ),
        Variable(
            "Qle",
            "surface_upward_latent_heat_flux",
            "W m-2",
            "Latent heat flux, positive up",
            _TIME,
            (-1000.0, 1500.0),
            error=20.0,
            aliases=("LE", "hfls", "LH"),
        ),
        # No standard name: surface_upward_heat_flux_in_air would include radiation. The error is
        # that of a sum of two independent fluxes known to 20 W m-2 each, sqrt(2) * 20.
        Variable(
            "Qturb",
            None,
            "W m-2",
            "Turbulent heat flux, sensible plus latent, positive up",
            _TIME,
            (-1500.0, 2000.0),
            error=28.0,
        ),
        Variable(
            "Qg",
            "downward_heat_flux_at_ground_level_in_soil",
            "W m-2",
            "Ground heat flux at the surface, positive into the soil",
            _TIME,
            (-1000.0, 1000.0),
            error=10.0,
            aliases=("G", "GRDFLX"),
        ),
    )
}

#: What xlsm simulates and can be fitted to: the variables with a default standard error.
OBSERVABLES: tuple[str, ...] = tuple(v.name for v in VARIABLES.values() if v.error is not None)

#: CF attributes of the depth coordinate.
DEPTH_ATTRIBUTES: dict[str, str] = {
    "standard_name": "depth",
    "long_name": "depth below the soil surface",
    "units": "m",
    "positive": "down",
    "axis": "Z",
}


def attributes(name: str) -> dict[str, str]:
    """CF attributes of a variable, or of ``depth``, as a new dict.

    Parameters
    ----------
    name : str
        A key of `VARIABLES`, or ``"depth"``.

    Returns
    -------
    dict
        ``standard_name`` (where CF has one), ``long_name`` and ``units``.

    Raises
    ------
    KeyError
        If the name is not in the table.

    Examples
    --------
    >>> attributes("Tair")
    {'standard_name': 'air_temperature', 'long_name': 'Air temperature', 'units': 'K'}
    """
    if name == "depth":
        return dict(DEPTH_ATTRIBUTES)
    variable = VARIABLES[name]
    named = {"standard_name": variable.standard_name} if variable.standard_name else {}
    return {**named, "long_name": variable.long_name, "units": variable.units}


def plausible(name: str) -> tuple[float, float]:
    """Range outside which a value cannot be what it claims; all numbers for what is derived.

    Parameters
    ----------
    name : str
        A key of `VARIABLES`, ``"SoilTemp@0.5"`` for one depth, or anything else.

    Returns
    -------
    tuple of float

    Examples
    --------
    >>> plausible("SoilTemp@0.5"), plausible("YearFraction")
    ((200.0, 380.0), (-inf, inf))
    """
    variable = VARIABLES.get(name.partition("@")[0])
    return variable.plausible if variable else (-math.inf, math.inf)
