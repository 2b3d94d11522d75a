"""Soil that follows its moisture: published end points, conserved heat, gradients, recovery."""

import math

import dask
import jax
import numpy as np
import pytest
import xarray as xr
from cases import run, weather
from derivatives import agree, close, forward, numbers, reverse
from twins import assert_identical_numbers, forcing, truth

import xlsm
from xlsm.errors import FlaggedWarning, ModelError, ParameterError
from xlsm.inference.problem import Problem
from xlsm.model import conductivity as law
from xlsm.model.moist import MoistSoil
from xlsm.model.moist_conductivity import JohansenConductivity, LuConductivity
from xlsm.model.parameters import to_unbounded
from xlsm.model.soil import UniformSoil

GRID = xlsm.UniformGrid(0.5, 21)
SENSORS = (0.05, 0.2, 0.5)
AIR = {"combined_transfer_coefficient": 25.0, "deep_temperature": 287.0}
SCHEMES = {
    "fine": JohansenConductivity(),
    "coarse": JohansenConductivity(coarse=True),
    "lu": LuConductivity(),
}
every_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def rain(times):
    """Moisture at SENSORS, shape (time, depth): dry, then wetted from above, then drying."""
    hour = np.arange(times)[:, None]
    since = np.maximum(hour - 10 - 40 * np.array(SENSORS), 0.0)
    return 0.08 + 0.25 * since / 5 * np.exp(1 - since / 5) + 0.1 * np.array(SENSORS)


def texture(scheme, value):
    return {scheme.parameters[0].name: value}


# ---------------------------------------------------------------------- the published formulas


def johansen(degree, porosity, quartz, coarse):
    """Peters-Lidard et al. (1998), their section on thermal conductivity, line by line."""
    density = (1 - porosity) * 2700
    dry = (0.135 * density + 64.7) / (2700 - 0.947 * density)
    others = 2.0 if quartz > 0.2 else 3.0
    solids = 7.7**quartz * others ** (1 - quartz)
    wet = solids ** (1 - porosity) * 0.57**porosity
    kersten = (0.7 if coarse else 1.0) * math.log10(degree) + 1
    return kersten * (wet - dry) + dry


def lu(degree, porosity, sand):
    """Lu et al. (2007), equations 4, 5, 8 and 9."""
    alpha = 0.96 if sand > 0.4 else 0.27
    solids = 7.7**sand * (2.0 if sand > 0.2 else 3.0) ** (1 - sand)
    wet = solids ** (1 - porosity) * 0.594**porosity
    dry = -0.56 * porosity + 0.51
    return (wet - dry) * math.exp(alpha * (1 - degree ** (alpha - 1.33))) + dry


@pytest.mark.parametrize("porosity", [0.3, 0.45, 0.6])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 1.0])
def test_conductivity_is_as_published(share, porosity):
    with jax.enable_x64(True):
        for degree in (0.15, 0.5, 1.0):
            known = (degree * porosity, porosity)
            for coarse in (False, True):
                actual = JohansenConductivity(coarse).of(*known, {"quartz_fraction": share})
                expected = johansen(degree, porosity, share, coarse)
                np.testing.assert_allclose(actual, expected, rtol=1e-12)
            actual = LuConductivity().of(*known, {"sand_fraction": share})
            np.testing.assert_allclose(actual, lu(degree, porosity, share), rtol=1e-12)


def test_dry_and_saturated_soils_are_the_ends_of_every_curve():
    # the sand of Peters-Lidard et al. (1998), quartz 0.92, porosity 0.395, worked out by hand
    quartz = {"quartz_fraction": 0.92}
    for coarse in (False, True):
        ends = [JohansenConductivity(coarse).of(m, 0.395, quartz) for m in (0.0, 0.395)]
        np.testing.assert_allclose(ends, [0.2474, 2.5797], atol=1e-4)
    # the lower ends of the published Kersten numbers
    np.testing.assert_allclose(law.kersten_johansen(0.05, coarse=True), 0.0893, atol=1e-4)
    np.testing.assert_allclose(law.kersten_johansen(0.1, coarse=False), 0.0, atol=0.03)
    # Fig. 3 of Lu et al. (2007), which is where their curves begin
    for n, dry in ((0.2, 0.398), (0.6, 0.174)):
        for sand in (0.1, 0.9):
            np.testing.assert_allclose(
                LuConductivity().of(0.0, n, {"sand_fraction": sand}), dry, atol=1e-6
            )


@every_scheme
def test_conductivity_grows_with_water_and_falls_with_pores(scheme):
    water = np.linspace(0.0, 0.45, 91)
    with jax.enable_x64(True):
        for share in (0.1, 0.7):
            by_water = scheme.of(water, 0.45, texture(scheme, share))
            assert np.all(np.diff(by_water) > -1e-12)
            assert np.all(np.diff(by_water[10:]) > 0)
            for degree in (0.0, 0.5, 1.0):
                pores = np.linspace(0.2, 0.7, 51)
                assert np.all(np.diff(scheme.of(degree * pores, pores, texture(scheme, share))) < 0)
        rich = scheme.of(0.3, 0.45, texture(scheme, np.linspace(0.43, 1.0, 58)))
        assert np.all(np.diff(rich) > 0)


@pytest.mark.usefixtures("x64")
@every_scheme
def test_conductivity_is_smooth_from_dry_to_flooded_and_across_textures(scheme):
    def of(water, share):
        return scheme.of(water, 0.45, texture(scheme, share))

    slopes = jax.jit(jax.vmap(jax.value_and_grad(of, (0, 1))))
    degree = np.concatenate([[0.0, 1e-300, 1e-12, 1e-6], np.linspace(1e-4, 1.5, 30000)])
    for share in (0.0, 0.1, 0.7, 1.0):
        value, (slope, _) = slopes(0.45 * degree, np.full_like(degree, share))
        assert np.all(np.isfinite(value))
        assert np.all(np.isfinite(slope))
        # the slope is that of the values: no step is hidden between two points
        middle = (slope[5:] + slope[4:-1]) / 2 * np.diff(0.45 * degree[4:])
        np.testing.assert_allclose(np.diff(value[4:]), middle, rtol=0, atol=2e-5)
        assert np.all(slope[degree > 1.03] == 0)
    share = np.linspace(0.0, 1.0, 40001)
    value, (_, slope) = slopes(np.full_like(share, 0.2), share)
    assert np.all(np.isfinite(slope))
    middle = (slope[1:] + slope[:-1]) / 2 * np.diff(share)
    np.testing.assert_allclose(np.diff(value), middle, rtol=0, atol=1e-6)


def test_saturation_is_exact_up_to_one_and_bounded_beyond():
    with jax.enable_x64(True):
        degree = np.linspace(0.0, 1.0, 11)
        np.testing.assert_allclose(law.saturation(0.4 * degree, 0.4), degree, rtol=1e-15)
        beyond = law.saturation(np.array([0.405, 0.5, 4.0]), 0.4)
        assert np.all((beyond > 1) & (beyond <= 1.01 + 1e-15))


# ------------------------------------------------------------------------------------- the soil


@every_scheme
def test_constant_moisture_is_a_uniform_soil(scheme):
    porosity, water, share = 0.42, 0.21, 0.6
    soil = MoistSoil(scheme, depths=SENSORS)
    known = {"porosity": porosity, "solids_heat_capacity": 2.0e6} | texture(scheme, share)
    if isinstance(scheme, LuConductivity):
        conductivity = lu(water / porosity, porosity, share)
    else:
        conductivity = johansen(water / porosity, porosity, share, scheme.coarse)
    capacity = (1 - porosity) * 2.0e6 + water * 4.18e6
    uniform = {"thermal_conductivity": conductivity, "heat_capacity": capacity}
    with jax.enable_x64(True):
        moist = {"SoilMoist": np.full(3, water)}
        known = {name: np.float64(value) for name, value in known.items()}
        for part in ("capacities", "conductances"):
            np.testing.assert_allclose(
                getattr(soil, part)(GRID, known, moist),
                getattr(UniformSoil(), part)(
                    GRID, {n: np.float64(v) for n, v in uniform.items()}, {}
                ),
                rtol=1e-12,
            )
    if scheme == SCHEMES["fine"]:
        depths = GRID.node_depths
        out = run(
            xlsm.Model(GRID, soil),
            AIR | known,
            weather(49) | {"SoilMoist": np.full((49, 3), water)},
            depths=depths,
        )
        like = run(
            xlsm.Model(GRID, solver="tridiagonal"), AIR | uniform, weather(49), depths=depths
        )
        for name, values in like.items():
            np.testing.assert_allclose(out[name], values, rtol=1e-10, atol=1e-9)


def test_moisture_is_linear_between_sensors_and_constant_beyond():
    soil = MoistSoil(depths=(0.05, 0.2, 0.41), extend=True)
    observed = np.array([[0.1, 0.4], [0.3, 0.2], [0.2, 0.25]])
    grid = xlsm.StretchedGrid(0.5, 21, first=0.01)
    with jax.enable_x64(True):
        at_nodes = soil.moisture(grid, {"SoilMoist": jax.numpy.asarray(observed)})
        # one sensor stands for all depths
        one = MoistSoil(depths=(0.1,)).moisture(grid, {"SoilMoist": jax.numpy.asarray([0.3])})
    for i in range(2):
        expected = np.interp(grid.node_depths, soil.depths, observed[:, i])
        np.testing.assert_allclose(at_nodes[:, i], expected, rtol=1e-14)
    np.testing.assert_array_equal(one, np.full(21, 0.3))


def test_nodes_of_unlike_moisture_conduct_in_series():
    grid = xlsm.StretchedGrid(0.5, 21, first=0.01)
    known = {"porosity": 0.45, "quartz_fraction": 0.6, "solids_heat_capacity": 2e6}
    water = np.array([0.1, 0.3, 0.4])
    nodes = np.interp(grid.node_depths, SENSORS, water)
    conductivity = np.array([johansen(m / 0.45, 0.45, 0.6, False) for m in nodes])
    half = np.diff(grid.node_depths) / 2
    soil, moist = MoistSoil(depths=SENSORS), {"SoilMoist": water}
    with jax.enable_x64(True):
        known = {name: np.float64(value) for name, value in known.items()}
        resistance = 1 / soil.conductances(grid, known, moist)
        expected = half / conductivity[1:] + half / conductivity[:-1]
        np.testing.assert_allclose(resistance, expected, rtol=1e-12)
        expected = (0.55 * 2e6 + 4.18e6 * nodes) * grid.thicknesses
        np.testing.assert_allclose(soil.capacities(grid, known, moist), expected, rtol=1e-12)


def test_dry_density_is_another_word_for_porosity():
    soil = MoistSoil(depths=SENSORS)
    rest = {"quartz_fraction": np.array(0.6), "solids_heat_capacity": np.array(2e6)}
    pores = {"porosity": np.array([0.3, 0.5])} | rest
    dense = {"dry_density": 2700 * (1 - pores["porosity"])} | rest
    moist = {"SoilMoist": np.full((3, 2), 0.2)}
    with jax.enable_x64(True):
        for part in (soil.capacities, soil.conductances):
            np.testing.assert_allclose(
                part(GRID, dense, moist), part(GRID, pores, moist), rtol=1e-14
            )
    used = xlsm.Model(GRID, soil).used({"dry_density"})
    assert "dry_density" in used
    assert "porosity" not in used
    with pytest.raises(ParameterError, match="porosity and dry_density are both given"):
        xlsm.Model(GRID, soil).used({"dry_density", "porosity"})


def test_stored_heat_changes_by_what_flows_in_while_it_rains():
    model = xlsm.Model(GRID, MoistSoil(LuConductivity(), depths=SENSORS))
    parameters = {"porosity": np.array([0.4, 0.55]), "sand_fraction": np.array([0.8, 0.3])}
    parameters["solids_heat_capacity"] = np.array([2.0e6, 2.4e6])
    series = weather(49)
    moist = rain(49)[..., None] * np.array([1.0, 1.2])
    out = run(model, AIR | parameters, series | {"SoilMoist": moist}, depths=GRID.node_depths)
    net = series["SWdown"][:, None] - out["SWup"] + series["LWdown"][:, None] - out["LWup"]
    np.testing.assert_allclose(net, out["Qturb"] + out["Qg"], rtol=0, atol=1e-11)
    soil, change, leaving = out["SoilTemp"], [], []
    with jax.enable_x64(True):
        for before, after, water in zip(soil, soil[1:], moist[1:], strict=False):
            now = {"SoilMoist": jax.numpy.asarray(water)}
            capacity = np.array(model.soil.capacities(GRID, parameters, now))
            conductance = np.asarray(model.soil.conductances(GRID, parameters, now))
            capacity[-1] = 0.0  # the bottom node is at its fixed temperature
            change.append(np.sum(capacity * (after - before), axis=0))
            leaving.append(conductance[-1] * (after[-2] - after[-1]))
    flow = 3600 * (out["Qg"][1:] - np.array(leaving))
    assert np.abs(change).max() > 1e5
    np.testing.assert_allclose(flow, change, rtol=0, atol=1e-9 * np.abs(flow).sum())
    # the water does change something
    dry = run(model, AIR | parameters, series | {"SoilMoist": 0 * moist + 0.08})
    assert np.abs(dry["AvgSurfT"] - out["AvgSurfT"]).max() > 1


# -------------------------------------------------------------------------------- its gradients

#: Moisture of three stations: bone dry, saturated to the last drop, flooded.
EXTREME_WATER = np.array([0.0, 0.45, 0.8])
ERRORS = {"SoilTemp": 0.1, "LWup": 5.0, "Qg": 10.0}


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("scheme", [SCHEMES["fine"], SCHEMES["lu"]], ids=["fine", "lu"])
def test_all_routes_to_a_derivative_agree(scheme):
    free = ("albedo", "porosity", "solids_heat_capacity", scheme.parameters[0].name)
    model = xlsm.Model(xlsm.UniformGrid(0.1, 6), MoistSoil(scheme, depths=(0.02, 0.1)))
    series = {name: values[6:13] for name, values in weather(13).items()}
    series["SoilMoist"] = rain(20)[13:, :2]
    data = numbers(model, free, series, depths=(0.0, 0.07), errors=ERRORS)
    agree(model, free, data, in_vmap=scheme == SCHEMES["fine"])

    def at(*values):
        """Unbounded parameters from physical ones, the same or one for each station."""
        bounds = (data.lower[:, None], data.upper[:, None], data.log_scale[:, None])
        rows = np.stack([np.broadcast_to(value, 3) for value in values]).astype(float)
        return np.asarray(to_unbounded(rows, *bounds))

    problem = Problem(model, free, tuple(ERRORS))
    water = {"SoilMoist": np.broadcast_to(EXTREME_WATER, (7, 2, 3))}
    extreme = data._replace(forcing={**data.forcing, **water})
    for share in (0.0, 0.2, 0.4, 1.0):
        for porosity in (0.1, 0.45, 0.9):
            point = at(0.2, porosity, 2e6, share)
            normal = forward(problem, extreme, point)
            assert np.all(np.isfinite(normal.matrix))
            close(normal.gradient, reverse(problem, extreme, point), 1e-9)
    # beyond saturation, and in the strips in which one formula gives way to another
    steep = at(0.2, 0.455, 2e6, [0.2, 0.41, 0.39])
    slopes, step = [], 1e-5
    for i in range(len(free)):
        shift = np.zeros_like(steep)
        shift[i] = step
        up, down = (forward(problem, extreme, x).cost for x in (steep + shift, steep - shift))
        slopes.append((up - down) / (2 * step))
    close(np.stack(slopes), reverse(problem, extreme, steep), 1e-6)


# ------------------------------------------------------------------------ from and to Datasets

MODEL = xlsm.Model(GRID, MoistSoil())
STATIONS = 3
KNOWN = {
    name: value
    for name, value in truth(STATIONS).items()
    if name in ("albedo", "combined_transfer_coefficient", "deep_temperature")
}
SOIL = {
    "porosity": xr.DataArray([0.5, 0.45, 0.6], dims="station"),
    "quartz_fraction": xr.DataArray([0.4, 0.7, 0.9], dims="station"),
}
THERMOMETERS = [0.02, 0.1, 0.3]


def dataset(stations=STATIONS):
    """Forcing with moisture on a depth dimension of its own, up to 0.33 and some."""
    ds = forcing(STATIONS)
    water = xr.DataArray(
        rain(ds.sizes["time"]),
        dims=("time", "depth_sm"),
        coords={"depth_sm": ("depth_sm", list(SENSORS), {"units": "m"})},
    )
    ds["SoilMoist"] = water * xr.DataArray([1.0, 0.95, 0.9], dims="station")
    ds["SoilMoist"] = ds.SoilMoist.transpose("station", ...).assign_attrs(units="m3 m-3")
    return ds if stations == STATIONS else ds.isel(station=0)


@pytest.fixture(scope="module")
def twin():
    """Stations whose soil is known."""
    ds = dataset()
    ds["SoilTemp"] = ds.lsm.simulate(KNOWN | SOIL, model=MODEL, depth=THERMOMETERS).SoilTemp
    return ds


@pytest.fixture(scope="module")
def fitted(twin):
    return twin.lsm.estimate("quartz_fraction", model=MODEL, fixed=KNOWN | {"porosity": 0.5})


def test_porosity_and_quartz_are_found_again(twin):
    est = twin.lsm.estimate(list(SOIL), model=MODEL, fixed=KNOWN)
    assert (est.status == xlsm.Status.converged).all()
    for name, value in SOIL.items():
        np.testing.assert_allclose(est[name], value, rtol=1e-6, err_msg=name)
    resolved = xlsm.Model.from_json(est.attrs["model"])
    assert resolved.soil.depths == SENSORS
    again = twin.lsm.simulate(est, depth=THERMOMETERS)
    np.testing.assert_allclose(again.SoilTemp, twin.SoilTemp, rtol=0, atol=1e-5)


def test_moisture_may_share_its_depths_with_the_temperatures(twin):
    shared = twin.drop_vars(["SoilMoist", "SoilTemp", "depth", "depth_sm"])
    every = sorted({*THERMOMETERS, *SENSORS})
    shared["SoilTemp"] = twin.SoilTemp.reindex(depth=every)
    shared["SoilMoist"] = twin.SoilMoist.rename(depth_sm="depth").reindex(depth=every)
    shared["SoilMoist"].attrs = dict(twin.SoilMoist.attrs)
    options = {"model": MODEL, "depth": THERMOMETERS}
    sim = shared.lsm.simulate(KNOWN | SOIL, **options)
    assert_identical_numbers(sim, twin.lsm.simulate(KNOWN | SOIL, **options))
    # lazily nobody knows which depths are empty: those that are not can be named
    lazy = shared.chunk(station=STATIONS)
    named = xlsm.Model(GRID, MoistSoil(depths=SENSORS))
    assert_identical_numbers(
        lazy.lsm.simulate(KNOWN | SOIL, model=named, depth=THERMOMETERS).compute(), sim
    )


def test_moisture_in_percent_is_the_same_water(twin):
    # and two thermometers may start a column that three moisture sensors drive
    ds = twin.isel(depth=[0, 2])
    model = xlsm.Model(GRID, MoistSoil(), initial=xlsm.ObservedInitial())
    sim = ds.lsm.simulate(KNOWN | SOIL, model=model)
    np.testing.assert_allclose(sim.SoilTemp[:, 0], ds.SoilTemp[:, 0], rtol=1e-13)
    percent = ds.assign(SoilMoist=(100 * ds.SoilMoist).assign_attrs(units="percent"))
    same = percent.lsm.simulate(KNOWN | SOIL, model=model)
    np.testing.assert_allclose(same.SoilTemp, sim.SoilTemp, rtol=1e-13)


def test_moisture_that_is_not_there_is_asked_for():
    ds = forcing(2)
    with pytest.raises(ModelError, match=r"follows the observed SoilMoist.*none.*UniformSoil"):
        ds.lsm.simulate(model=MODEL)
    ds["SoilMoist"] = ds.Tair * 0 + 0.2  # no depth
    with pytest.raises(ModelError, match=r'add it with a coordinate "depth"'):
        ds.lsm.simulate(model=MODEL)
    named = xlsm.Model(GRID, MoistSoil(depths=(0.05, 0.5, 0.7)))
    with pytest.raises(ModelError, match=r"SoilMoist at 0\.7 m, but there is 0\.05, 0\.2, 0\.5 m"):
        dataset().lsm.simulate(model=named)


def test_sensors_must_cover_the_column():
    def fits(depths, grid=GRID, **options):
        return xlsm.Model(grid, MoistSoil(depths=depths, **options))

    for depths in ((0.1, 0.5), (0.0, 0.2, 0.5), (0.05, 1.0)):
        fits(depths)
    fits((0.3, 0.5), xlsm.UniformGrid(0.5, 21, top=0.3))
    fits((0.3,), extend=True)
    with pytest.raises(ModelError, match=r"at 0\.15, 0\.5 m .* 0 to 0\.5 m.*above 0\.15 m"):
        fits((0.15, 0.5))
    with pytest.raises(ModelError, match=r"below 0\.4 m .*a grid that ends at 0\.4 m, or .*extend"):
        fits((0.05, 0.4))
    with pytest.raises(ModelError, match=r"above 0\.2 m and below 0\.2 m .*MoistSoil\(extend="):
        fits((0.2,))
    deeper = xlsm.Model(xlsm.UniformGrid(1.0, 21), MoistSoil())
    with pytest.raises(ModelError, match=r"none below 0\.5 m"):
        dataset().lsm.simulate(model=deeper)
    for none in ((0.2, 0.1), (-0.1, 0.5), (0.1, 0.1)):
        with pytest.raises(ModelError, match="depths of MoistSoil must be positive and grow"):
            MoistSoil(depths=none)
    with pytest.raises(ModelError, match=r"must be JohansenConductivity\(\) or LuConductivity"):
        MoistSoil("johansen")


def test_text_holds_the_scheme_and_its_settings():
    model = xlsm.Model(GRID, MoistSoil(JohansenConductivity(coarse=True), (0.05, 0.5), extend=True))
    assert xlsm.Model.from_json(model.to_json()) == model


# ------------------------------------------------------------------ more water than there are pores


def test_porosity_below_the_moisture_is_refused_by_name():
    one = dataset(stations=1)
    most = float(one.SoilMoist.max())
    text = rf"porosity = 0\.3 is below the observed SoilMoist, up to {most:.3g} at 0\.5 m"
    with pytest.raises(ParameterError, match=text):
        one.lsm.simulate({"porosity": 0.3}, model=MODEL)
    with pytest.raises(ParameterError, match=text):
        dataset().lsm.simulate({"porosity": 0.3}, model=MODEL)
    with pytest.raises(ParameterError, match=r"dry_density = 2160 kg m-3, a porosity of 0\.2, is"):
        one.lsm.simulate({"dry_density": 2160}, model=MODEL)
    one["SoilTemp"] = one.Tair.expand_dims(depth=[0.1], axis=-1)
    with pytest.raises(ParameterError, match=text):
        one.lsm.estimate("quartz_fraction", fixed={"porosity": 0.3}, model=MODEL)


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")
def test_only_the_station_with_too_few_pores_is_flagged(twin, fitted):
    pores = xr.DataArray([0.5, 0.2, 0.5], dims="station")
    est = twin.lsm.estimate("quartz_fraction", model=MODEL, fixed=KNOWN | {"porosity": pores})
    assert est.status.values.tolist() == [0, xlsm.Status.implausible_values, 0]
    assert fitted.status.values.tolist() == [0, 0, 0]
    for name in ("quartz_fraction", "quartz_fraction_std", "covariance", "cost"):
        assert est[name].isel(station=1).isnull().all()
    others = [0, 2]
    assert_identical_numbers(
        est.isel(station=others).drop_vars("porosity"),
        fitted.isel(station=others).drop_vars("porosity"),
    )
    options = {"model": MODEL, "depth": THERMOMETERS}
    sim = twin.lsm.simulate(KNOWN | SOIL | {"porosity": pores}, **options)
    like = twin.lsm.simulate(KNOWN | SOIL | {"porosity": 0.5}, **options)
    assert sim.SoilTemp.isel(station=1).isnull().all()
    assert_identical_numbers(sim.isel(station=others), like.isel(station=others))


def test_lazily_all_may_be_flagged_and_none_is_refused(twin):
    lazy = twin.chunk(station=STATIONS)
    with dask.config.set(scheduler=_fail):
        sim = lazy.lsm.simulate({"porosity": 0.2}, model=MODEL, depth=THERMOMETERS)
        est = lazy.lsm.estimate("quartz_fraction", model=MODEL, fixed=KNOWN | {"porosity": 0.2})
    sim, est = sim.compute(), est.compute()
    assert sim.SoilTemp.isnull().all()
    assert (est.status == xlsm.Status.implausible_values).all()


def _fail(*args, **kwargs):
    raise AssertionError("something was computed")


TOO_FEW_PORES = {
    "porosity": xlsm.Parameter(bounds=(0.15, 0.3)),
    "quartz_fraction": xlsm.Parameter(bounds=(0.22, 1.0)),
}


def test_an_estimate_with_too_few_pores_is_flagged(twin):
    cure = r"3 of 3 stations .*largest SoilMoist, xlsm\.Parameter\(bounds=\(0\.42, 0\.6\)\)"
    with pytest.warns(FlaggedWarning, match=cure):
        est = twin.lsm.estimate(TOO_FEW_PORES, model=MODEL, fixed=KNOWN)
    assert (est.status == xlsm.Status.impossible_estimate).all()
    assert "impossible_estimate" in est.status.attrs["flag_meanings"].split()
    for name in ("porosity", "porosity_std", "covariance", "cost", "residual_std_SoilTemp"):
        assert est[name].isnull().all()


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")
def test_what_is_amiss_beside_an_impossible_estimate_is_told_first(twin):
    spoilt = twin.copy(deep=True)
    spoilt["SoilTemp"][0, 3, 0] = -9999.0
    spoilt["Tair"][1, 3] = np.nan
    est = spoilt.lsm.estimate(TOO_FEW_PORES, model=MODEL, fixed=KNOWN)
    told = [xlsm.Status(code).name for code in est.status.values.tolist()]
    assert told == ["implausible_values", "forcing_gap", "impossible_estimate"]


@pytest.mark.filterwarnings("ignore::xlsm.errors.FlaggedWarning")
def test_spikes_that_cannot_be_are_told_as_such():
    """A fill value says nothing about pores."""
    ds = dataset()
    ds["SoilMoist"][1, 5, 0] = 7.0
    sim = ds.lsm.simulate(KNOWN | {"porosity": 0.5}, model=MODEL, depth=THERMOMETERS)
    assert np.isfinite(sim.SoilTemp.isel(station=[0, 2])).all()
    assert sim.SoilTemp.isel(station=1)[-1].isnull().all()
