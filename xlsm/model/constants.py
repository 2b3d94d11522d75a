"""Physical constants, in SI units, each with its source."""

from __future__ import annotations

__all__ = [
    "DRY_AIR_GAS_CONSTANT",
    "DRY_AIR_HEAT_CAPACITY",
    "FREEZING_POINT",
    "GRAVITY",
    "LATENT_HEAT_DECREASE",
    "LATENT_HEAT_OF_FUSION",
    "STEFAN_BOLTZMANN",
    "TRIPLE_POINT_LATENT_HEAT",
    "TRIPLE_POINT_PRESSURE",
    "TRIPLE_POINT_TEMPERATURE",
    "VAPOUR_GAS_CONSTANT",
    "VON_KARMAN",
    "WATER_DENSITY",
]

#: Stefan-Boltzmann constant (W m-2 K-4), CODATA 2018.
STEFAN_BOLTZMANN = 5.670374419e-8
#: Standard acceleration of gravity (m s-2), CGPM 1901.
GRAVITY = 9.80665
#: Von Karman constant (1), Högström (1988), Boundary-Layer Meteorol. 42, 55-78.
VON_KARMAN = 0.4
#: Specific gas constant of dry air (J kg-1 K-1), ICAO Standard Atmosphere, Doc 7488 (1993).
DRY_AIR_GAS_CONSTANT = 287.05
#: Specific gas constant of water vapour (J kg-1 K-1), Wagner & Pruss (2002), J. Phys. Chem. Ref.
#: Data 31, 387-535.
VAPOUR_GAS_CONSTANT = 461.5
#: Heat capacity of dry air at constant pressure (J kg-1 K-1), Ambaum (2020).
DRY_AIR_HEAT_CAPACITY = 1005.0

# Triple point of water, and how the latent heat of vaporisation falls with temperature from there:
# heat capacity of the liquid, 4220, less that of the vapour, 2040 J kg-1 K-1 (fitted). All as in
# Ambaum (2020), Q. J. R. Meteorol. Soc. 146, 4252-4258.
#: Temperature (K).
TRIPLE_POINT_TEMPERATURE = 273.16
#: Saturation vapour pressure there (Pa).
TRIPLE_POINT_PRESSURE = 611.657
#: Latent heat of vaporisation there (J kg-1).
TRIPLE_POINT_LATENT_HEAT = 2.501e6
#: Decrease of the latent heat of vaporisation with temperature (J kg-1 K-1).
LATENT_HEAT_DECREASE = 2180.0

#: Temperature at which water freezes at normal pressure (K), 0 degC.
FREEZING_POINT = 273.15
#: Latent heat of fusion there (J kg-1), Feistel & Wagner (2006), J. Phys. Chem. Ref. Data 35,
#: 1021-1047.
LATENT_HEAT_OF_FUSION = 3.334e5
#: Density of liquid water there (kg m-3), Wagner & Pruss (2002).
WATER_DENSITY = 999.8
