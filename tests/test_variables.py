"""The table of words."""

import pytest

from xlsm.units import convert
from xlsm.variables import DEPTH_ATTRIBUTES, OBSERVABLES, VARIABLES, attributes

# from the CF standard name table, version 93, with its canonical units
CF_CANONICAL_UNITS = {
    "air_temperature": "K",
    "depth": "m",
    "downward_heat_flux_at_ground_level_in_soil": "W m-2",
    "rainfall_flux": "kg m-2 s-1",
    "soil_temperature": "K",
    "solar_elevation_angle": "degree",
    "specific_humidity": "1",
    "surface_albedo": "1",
    "surface_air_pressure": "Pa",
    "surface_downwelling_longwave_flux_in_air": "W m-2",
    "surface_downwelling_shortwave_flux_in_air": "W m-2",
    "surface_temperature": "K",
    "surface_upward_latent_heat_flux": "W m-2",
    "surface_upward_sensible_heat_flux": "W m-2",
    "surface_upwelling_longwave_flux_in_air": "W m-2",
    "surface_upwelling_shortwave_flux_in_air": "W m-2",
    "volume_fraction_of_condensed_water_in_soil": "1",
    "wind_speed": "m s-1",
}


@pytest.mark.parametrize("name", [*VARIABLES, "depth"])
def test_standard_names_and_units_are_those_of_cf(name):
    given = attributes(name)
    if name in ("Qanth", "Qturb"):
        assert "standard_name" not in given
        return
    canonical = CF_CANONICAL_UNITS[given["standard_name"]]
    assert convert(1.0, given["units"], canonical, name=name) == 1.0


def test_table_is_consistent():
    for name, variable in VARIABLES.items():
        lower, upper = variable.plausible
        assert variable.name == name
        assert lower < upper
        assert variable.dims[0] == "time"
        assert variable.error is None or variable.error > 0
    standard_names = [v.standard_name for v in VARIABLES.values() if v.standard_name]
    assert len(standard_names) == len(set(standard_names))
    aliases = [alias for v in VARIABLES.values() for alias in v.aliases]
    assert len(aliases) == len(set(aliases))
    assert not set(aliases) & set(VARIABLES)


def test_default_errors_are_those_of_the_design():
    assert {name: VARIABLES[name].error for name in OBSERVABLES} == {
        "SoilTemp": 0.2,
        "AvgSurfT": 0.5,
        "SWup": 5.0,
        "LWup": 5.0,
        "Qh": 20.0,
        "Qle": 20.0,
        "Qturb": 28.0,
        "Qg": 10.0,
    }


def test_attributes_are_fresh_and_complete():
    attributes("depth")["units"] = "cm"
    assert DEPTH_ATTRIBUTES["units"] == "m"
    assert attributes("depth")["positive"] == "down"
    with pytest.raises(KeyError):
        attributes("tair")
