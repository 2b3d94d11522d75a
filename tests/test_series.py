"""Parameters that vary in time: their physics, their derivatives, and that they are found."""

import functools

import derivatives
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import quick
import twins
import xarray as xr
from cases import weather

import xlsm
from xlsm import varying
from xlsm.errors import LSMError, ModelError, ParameterError, TimeAxisError
from xlsm.inference import linear, posterior, watch
from xlsm.inference import problem as problem_module
from xlsm.inference.frame import frame_of
from xlsm.inference.objective import cost, normal_equations
from xlsm.inference.problem import Problem
from xlsm.inference.series import Series
from xlsm.series import at_times, pieces_of

GRID = xlsm.UniformGrid(depth=0.3, nodes=7)
TRIDIAGONAL = xlsm.Model(grid=GRID, solver="tridiagonal")
MODAL = xlsm.Model(grid=GRID)


def daily(values, start="2012-05-01", dim="every_1D"):
    days = pd.date_range(start, periods=np.shape(values)[-1])
    lead = ("station",) * (np.ndim(values) - 1)
    return xr.DataArray(values, dims=(*lead, dim), coords={dim: days})


# ---------------------------------------------------------------- where the values lie


def record(times, step="1h", start="2012-05-01"):
    return xr.Dataset(coords={"time": pd.date_range(start, periods=times, freq=step)})


def test_a_step_belongs_to_the_piece_it_ends_in():
    """Times are ends of steps: the one that ends at midnight is of the day before."""
    hours = at_times(daily([0.1, 0.2, 0.3]), record(49))
    assert hours.values[[0, 1, 24, 25, 48]].tolist() == [0.1, 0.1, 0.1, 0.2, 0.2]


def test_lines_pass_through_their_corners():
    given = daily([0.1, 0.2, 0.4], dim="every_1D_linear")
    hours = at_times(given, record(49))
    np.testing.assert_allclose(hours.values[[0, 12, 24, 36, 48]], [0.1, 0.15, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("every", "times", "start", "count", "first"),
    [
        ("1D", 49, "2012-05-01", 2, "2012-05-01"),
        ("1D", 50, "2012-05-01", 3, "2012-05-01"),
        ("6h", 25, "2012-05-01 07:30", 5, "2012-05-01 06:00"),
        ("36h", 72, "2012-05-01", 2, "2012-05-01"),
        (pd.Timedelta("12h"), 24, "2012-05-01", 2, "2012-05-01"),
        ("month", 24 * 40, "2012-05-20", 2, "2012-05-01"),
        ("season", 24 * 40, "2012-05-20", 2, "2012-03-01"),
        ("year", 24 * 40, "2011-12-20", 2, "2011-01-01"),
    ],
)
@pytest.mark.parametrize("linear", [False, True])
def test_pieces_cover_the_record(every, times, start, count, first, linear):
    ds = record(times, start=start)
    pieces = pieces_of(ds, every, linear=linear, name="albedo")
    assert len(pieces.knots) == count + linear
    assert pieces.labels[0] == np.datetime64(first)
    assert pieces.knots[0] <= 0
    end = times - 1
    assert (pieces.knots[-1] >= end) if linear else (pieces.knots[-1] < end)
    values = xr.DataArray(
        np.arange(len(pieces.knots)) + 1.0,
        dims=pieces.dim,
        coords={pieces.dim: pieces.labels},
        name="albedo",
    )
    spread = at_times(values, ds).values
    assert np.isfinite(spread).all()
    if not linear:
        assert set(spread) == set(values.values)  # every piece has a time
    # and the kernel spreads them as the simulation does
    series = Series("albedo", 0, pieces.knots, linear, memory=1)
    before, after, share = series.place(times)
    np.testing.assert_allclose((1 - share) * (before + 1) + share * (after + 1), spread)


def test_calendars_of_models():
    times = xr.date_range("2012-02-27", periods=72, freq="h", calendar="noleap", use_cftime=True)
    ds = xr.Dataset(coords={"time": times})
    assert len(pieces_of(ds, "1D", linear=False, name="albedo").knots) == 3
    month = pieces_of(ds, "month", linear=False, name="albedo")
    assert [str(label)[:10] for label in month.labels] == ["2012-02-01", "2012-03-01"]
    assert month.knots[1] == 48  # there is no 29 February


# ---------------------------------------------------------------- the forward model


@pytest.fixture(scope="module")
def forcing():
    return twins.forcing(hours=72)


def test_a_constant_series_is_a_constant(forcing):
    values = twins.truth()
    flat = {name: daily(np.full(3, float(value))) for name, value in values.items()}
    model = xlsm.Model(solver="tridiagonal")
    series = forcing.lsm.simulate(flat, depth=[0.05], model=model)
    constant = forcing.lsm.simulate(values, depth=[0.05], model=model)
    xr.testing.assert_allclose(series, constant, rtol=1e-13)


def test_two_solvers_agree_and_energy_closes(forcing):
    """Conductivity and heat capacity too: the modes of a uniform soil do not change with them."""
    random = np.random.default_rng(0)
    values = {
        "albedo": daily(random.uniform(0.1, 0.4, 3)),
        "combined_transfer_coefficient": daily(random.uniform(10, 30, 3)),
        "emissivity": daily(random.uniform(0.9, 1.0, 3)),
        "thermal_conductivity": daily(random.uniform(0.5, 1.5, 3)),
        "heat_capacity": daily(random.uniform(1.5e6, 2.5e6, 3)),
        "deep_temperature": 290.0,
    }
    depths = xlsm.UniformGrid().node_depths
    one, other = (
        forcing.lsm.simulate(values, depth=depths, model=xlsm.Model(solver=solver))
        for solver in ("modal", "tridiagonal")
    )
    xr.testing.assert_allclose(one.drop_attrs(), other.drop_attrs(), rtol=1e-11)
    net = forcing.SWdown - one.SWup + forcing.LWdown - one.LWup - one.Qturb - one.Qg
    assert abs(net).max() < 1e-10
    # each step stores what came in, in the heat capacity it has
    capacity = at_times(values["heat_capacity"], forcing).values
    conductivity = at_times(values["thermal_conductivity"], forcing).values
    temperature, dz = one.SoilTemp.values, depths[1]
    share = np.r_[0.5, np.ones(len(depths) - 2), 0.0]
    stored = capacity[1:] * dz * (np.diff(temperature, axis=0) @ share)
    lost = conductivity[1:] * (temperature[1:, -2] - temperature[1:, -1]) / dz
    np.testing.assert_allclose(stored, 3600 * (one.Qg.values[1:] - lost), atol=1e-4)


def test_what_comes_later_changes_nothing_before(forcing):
    values = twins.truth()
    one, other = (
        forcing.lsm.simulate({**values, "albedo": daily([0.2, a, 0.3])}, outputs="AvgSurfT")
        for a in (0.1, 0.4)
    )
    same = (one.AvgSurfT == other.AvgSurfT).values
    assert same[:25].all()
    assert not same[31:42].any()  # by day


def test_stations_may_have_their_own_and_may_be_lazy():
    ds = twins.forcing(stations=4, hours=48)
    albedo = daily(np.random.default_rng(0).uniform(0.1, 0.4, (4, 2)))
    albedo = albedo.assign_coords(station=ds.station)
    values = twins.truth() | {"albedo": albedo}
    whole = ds.lsm.simulate(values, depth=[0.05])
    lazy = ds.chunk(station=2).lsm.simulate(
        values | {"albedo": albedo.chunk(station=2)}, depth=0.05
    )
    assert lazy.SoilTemp.chunks is not None
    xr.testing.assert_allclose(lazy.compute(), whole, rtol=1e-13)
    alone = ds.isel(station=2).lsm.simulate(values | {"albedo": albedo[2]}, depth=[0.05])
    xr.testing.assert_allclose(alone, whole.isel(station=2), rtol=1e-12)
    hourly = at_times(albedo, ds).assign_coords(time=ds.time)
    xr.testing.assert_equal(ds.lsm.simulate(values | {"albedo": hourly}, depth=[0.05]), whole)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("albedo", daily([0.2, 0.3, 0.3], start="2012-05-02"), "do not reach over the record"),
        ("albedo", daily([0.2, 0.3], dim="every_1D_linear"), "do not reach over the record"),
        ("albedo", daily([0.2, 0.3, 0.3]).drop_vars("every_1D"), "no coordinate 'every_1D'"),
        ("albedo", xr.DataArray([0.2, 0.3], dims="time"), "which are not the 72 times"),
        ("albedo", daily([0.2, 0.3, 7.0]), "outside its bounds"),
        ("initial_temperature", daily([290.0, 291.0, 292.0]), "that of the first time"),
    ],
)
def test_series_that_do_not_fit(forcing, name, value, says):
    with pytest.raises(LSMError, match=says):
        forcing.lsm.simulate({**twins.truth(), name: value})


def test_the_modal_solver_has_one_bottom(forcing):
    deep = {"deep_temperature": daily([290.0, 291.0, 292.0])}
    auto = forcing.lsm.simulate(twins.truth() | deep)
    assert "tridiagonal" in auto.attrs["model"]
    with pytest.raises(ModelError, match="modal solver needs a bottom that is constant"):
        forcing.lsm.simulate(twins.truth() | deep, model=xlsm.Model(solver="modal"))


# ---------------------------------------------------------------- derivatives


def series_of(name, first, knots, *, linear=False, memory=np.inf, **options):
    names = tuple(f"{name}[{k}]" for k in range(len(knots)))
    return names, Series(name, first, tuple(map(float, knots)), linear, memory, **options)


TIMES = 13
ERRORS = {"SoilTemp": 0.1, "LWup": 5.0, "Qg": 10.0}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("model", "name", "linear"),
    [
        (MODAL, "albedo", False),
        (MODAL, "thermal_conductivity", True),
        (TRIDIAGONAL, "heat_capacity", False),
        pytest.param(MODAL, "combined_transfer_coefficient", True, marks=pytest.mark.slow),
        pytest.param(TRIDIAGONAL, "deep_temperature", True, marks=pytest.mark.slow),
        pytest.param(
            xlsm.Model(grid=GRID, solver=xlsm.Jacobi(tolerance=1e-12)),
            "albedo",
            False,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            xlsm.Model(grid=GRID, stepping=xlsm.SDIRK2(substeps=2)),
            "thermal_conductivity",
            False,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            xlsm.Model(
                grid=GRID,
                surface=xlsm.SkinLayer(),
                turbulence=xlsm.WindExchange(),
                soil=xlsm.LayeredSoil((0.1, np.inf)),
            ),
            "heat_capacity_1",
            True,
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_derivatives_agree(model, name, linear):
    """Forward, reverse, differences, inside vmap; beside constants that change coefficients."""
    knots = (0, 4, 8, 12) if linear else (0, 8, 10)  # the sun rises at 6
    names, one = series_of(name, 1, knots, linear=linear)
    others = [n for n in ("thermal_conductivity", "heat_capacity") if n in model.parameters]
    constants = tuple(n for n in others if n != name) or ("albedo",)
    free = (constants[0], *names, *constants[1:], "emissivity")
    forcing = {n: s[:TIMES] for n, s in weather(TIMES).items()} | {"Wind": np.full(TIMES, 2.0)}
    forcing = {n: forcing[n] for n in model.forcing}
    data = derivatives.numbers(model, free, forcing, depths=(0.05, 0.2), errors=ERRORS)
    derivatives.agree(model, free, data, series=(one,), in_vmap=model is MODAL)


def problem_and_data(memory=np.inf, times=60, every=6):
    """Two series and two constants; one walk."""
    names, albedo = series_of("albedo", 0, np.arange(0, times, every), memory=memory, smooth=True)
    more, transfer = series_of(
        "combined_transfer_coefficient",
        len(names),
        np.arange(0, times + 2 * every, 2 * every),
        linear=True,
        memory=memory,
    )
    free = (*names, *more, "thermal_conductivity", "deep_temperature")
    data = derivatives.numbers(MODAL, free, weather(times), depths=(0.05,), errors=ERRORS)
    walk = np.full((2, derivatives.COUNT), np.inf)
    walk[0] = 0.02
    what = Problem(MODAL, free, tuple(ERRORS), series=(albedo, transfer))
    return what, data._replace(walk=walk)


def point_of(what):
    return np.random.default_rng(1).uniform(-1, 1, (len(what.free), derivatives.COUNT))


@pytest.mark.usefixtures("x64")
def test_many_values_have_the_derivatives_of_few(monkeypatch):
    """Gradient backward and matrix block by block, against all tangents forward."""
    what, data = problem_and_data()
    point = point_of(what)
    few = derivatives.forward(what, data, point)
    assert not what.backward
    monkeypatch.setattr(problem_module, "FEW", 3)
    assert what.backward
    many = quick.jit(functools.partial(normal_equations, what))(data, point)
    for one, other in zip(many, few, strict=True):
        derivatives.close(
            one.reshape(-1, derivatives.COUNT), other.reshape(-1, derivatives.COUNT), 1e-12
        )


@pytest.mark.usefixtures("x64")
def test_what_is_forgotten_is_the_band_away_from_the_diagonal(monkeypatch):
    (whole, data), (banded, _) = problem_and_data(), problem_and_data(memory=18)
    point = point_of(whole)
    one = np.asarray(derivatives.forward(whole, data, point).matrix)
    monkeypatch.setattr(problem_module, "FEW", 3)
    other = np.asarray(quick.jit(functools.partial(normal_equations, banded))(data, point).matrix)
    frame = frame_of(banded, 60)
    assert len(frame.owner) < len(banded.free) - 4  # which is what it saves
    scale = np.sqrt(np.einsum("ii...->i...", one))
    error = abs(other - one) / (scale[:, None] * scale[None])
    assert 0 < error.max() < 0.2
    assert (other[1, 9] == 0).all()
    assert (one[1, 9] != 0).all()
    # a constant is never forgotten
    np.testing.assert_allclose(other[-2:, -2:], one[-2:, -2:], rtol=1e-12)


@pytest.mark.usefixtures("x64")
def test_a_run_in_blocks_is_the_same_run(monkeypatch):
    """Values and gradients to round-off; the last block is filled up with times of no account."""
    what, data = problem_and_data(times=60)
    point = point_of(what)

    def both():
        whole = jax.value_and_grad(lambda x: jnp.sum(cost(what, data, x)))
        return quick.jit(whole)(point)

    plain, slope = both()
    monkeypatch.setattr(watch, "SHORT", 10)
    blocks, again = both()
    np.testing.assert_allclose(blocks, plain, rtol=1e-13)
    derivatives.close(again, slope, 1e-12)


@pytest.mark.usefixtures("x64")
def test_memory_of_a_gradient_is_bounded():
    """64 stations, a year at 30 minutes, 365 daily values of two parameters, 101 nodes."""
    stations, model, knots = 64, xlsm.Model(), np.arange(0, 17520, 48)
    names, albedo = series_of("albedo", 0, knots)
    more, transfer = series_of("combined_transfer_coefficient", len(names), knots)
    free = (*names, *more, "thermal_conductivity")
    what = Problem(model, free, ("SoilTemp",), series=(albedo, transfer))
    forcing = weather(17520, 1800.0)
    data = derivatives.numbers(model, free, forcing, depths=(0.05,), errors={"SoilTemp": 0.1})

    def wide(values):
        shape = np.shape(values)
        own = shape and shape[-1] == derivatives.COUNT
        return jax.ShapeDtypeStruct((*shape[:-1], stations) if own else shape, float)

    shapes = jax.tree.map(wide, data)
    shapes = shapes._replace(log_scale=jax.ShapeDtypeStruct((len(free),), bool))
    start = jax.ShapeDtypeStruct((len(free), stations), float)
    gradient = quick.jit(jax.grad(lambda x, data: jnp.sum(cost(what, data, x))))
    found = gradient.lower(start, shapes).compile().memory_analysis()
    assert found.temp_size_in_bytes + found.argument_size_in_bytes < 2 * 2**30


# ---------------------------------------------------------------- estimation


DAYS = 10
OTHERS = ("combined_transfer_coefficient", "thermal_conductivity", "heat_capacity")
EVERY_DAY = {
    "albedo": xlsm.Parameter(every="1D", smooth=0.03),
    **{name: xlsm.Parameter() for name in OTHERS},
}
SEEN = {"SoilTemp": 0.1, "AvgSurfT": 0.3}


def network(stations=48, step=0.03, days=DAYS, seed=0, noise=1.0, dark=None):
    """Stations whose albedo walks, and what they are made of; one day may be without sun."""
    random = np.random.default_rng(seed)
    ds = twins.forcing(stations, hours=24 * days)
    if dark is not None:
        ds["SWdown"] = ds.SWdown.where((ds.time - ds.time[0]).dt.days != dark, 0.0)
    truth = twins.truth(stations, seed)
    walk = 0.25 + step * np.cumsum(random.standard_normal((stations, days)), axis=1)
    truth = truth | {"albedo": daily(np.clip(walk, 0.05, 0.7)).assign_coords(station=ds.station)}
    sim = ds.lsm.simulate(truth, depth=[0.02, 0.1], outputs=list(SEEN))
    for name, error in SEEN.items():
        ds[name] = sim[name] + noise * error * random.standard_normal(sim[name].shape)
    return ds, truth


def estimate(ds, free=EVERY_DAY, truth=None, **options):
    fixed = {"deep_temperature": truth["deep_temperature"]}
    return ds.lsm.estimate(free, observed=SEEN, fixed=fixed, **options)


@pytest.fixture(scope="module")
def stations():
    return network()


@pytest.fixture(scope="module")
def found(stations):
    ds, truth = stations
    return estimate(ds, truth=truth)


def test_a_known_series_is_found_within_its_error_bars(stations, found):
    """68 and 95 % intervals cover the truth at their rate, of the series and of the constants."""
    _, truth = stations
    assert (found.status == xlsm.Status.converged).all()
    for name in EVERY_DAY:
        score = abs((found[name] - truth[name]) / found[f"{name}_std"]).values.ravel()
        # neighbours in time have errors in common: a station counts for a third of its days
        number = score.size / (3 if score.size > 48 else 1)
        for share, width in ((0.683, 1.0), (0.954, 2.0)):
            spread = 3 * np.sqrt(share * (1 - share) / number)
            assert abs((score < width).mean() - share) < spread, (name, share)


def test_without_noise_the_truth_is_found():
    """Of a day in the dark nothing is known, and it is said; the others have what is theirs."""
    ds, truth = network(noise=0.0, dark=4)
    free = EVERY_DAY | {"albedo": xlsm.Parameter(every="1D")}
    est = estimate(ds, free, truth)
    assert (est.status == xlsm.Status.not_identifiable).all()
    assert np.isinf(est.albedo_std[:, 4]).all()
    for name in free:
        error = abs((est[name] - truth[name]) / est[f"{name}_std"])
        assert error.max() < 1e-6, name
    assert (est.albedo_std.where(np.isfinite(est.albedo_std)) < 0.02).sum() == 48 * (DAYS - 1)


def test_the_labels_say_when(stations, found):
    ds, _ = stations
    assert found.albedo.dims == ("station", "every_1D")
    assert found.albedo_std.dims == found.albedo.dims
    np.testing.assert_array_equal(found.every_1D, pd.date_range("2012-05-01", periods=DAYS))
    assert list(found.parameter.values) == list(OTHERS)
    assert found.covariance.sizes == {"station": 48, "parameter": 3, "parameter_": 3}
    np.testing.assert_allclose(
        np.sqrt(found.covariance.sel(parameter="heat_capacity", parameter_="heat_capacity")),
        found.heat_capacity_std,
    )
    again = ds.lsm.simulate(found, depth=[0.02, 0.1], outputs="SoilTemp")
    residual = float(((again.SoilTemp - ds.SoilTemp) ** 2).mean() ** 0.5)
    assert residual == pytest.approx(float((found.residual_std_SoilTemp**2).mean() ** 0.5))


def test_one_station_alone_is_the_one_of_the_batch(stations, found):
    ds, truth = stations
    one = {name: value.isel(station=7) for name, value in truth.items()}
    alone = estimate(ds.isel(station=7), truth=one)
    error = abs(alone.albedo - found.albedo.isel(station=7)) / alone.albedo_std
    assert error.max() < 1e-6
    lines = alone.attrs["summary"].splitlines()
    assert "albedo" in lines[1]
    assert f"in {DAYS} values, give or take 0.0" in lines[1]


def test_many_values_end_where_few_do(stations, found, monkeypatch):
    """Backward gradients and a banded matrix lead to the same minimum."""
    ds, truth = stations
    some = {name: value.isel(station=slice(3)) for name, value in truth.items()}
    monkeypatch.setattr(problem_module, "FEW", 5)
    monkeypatch.setattr(varying, "SHORTEST", 4 * 86400.0)
    # another problem, that no earlier compilation is taken for this one
    fresh = EVERY_DAY | {"albedo": xlsm.Parameter(every="1D", smooth=0.03, bounds=(0.001, 0.999))}
    est = estimate(ds.isel(station=slice(3)), fresh, some)
    few = found.isel(station=slice(3))
    assert (est.status == xlsm.Status.converged).all()
    assert (abs(est.albedo - few.albedo) / few.albedo_std).max() < 1e-3  # the bounds differ
    np.testing.assert_allclose(est.albedo_std, few.albedo_std, rtol=0.1)
    np.testing.assert_allclose(est.heat_capacity_std, few.heat_capacity_std, rtol=0.1)


def test_a_day_without_observations_takes_from_its_neighbours(stations, found):
    ds, truth = stations
    gap = ds.copy()
    for name in SEEN:
        gap[name] = ds[name].where((ds.time < ds.time[97]) | (ds.time > ds.time[144]))
    est = estimate(gap, truth=truth)
    assert (est.status == xlsm.Status.converged).all()
    lost = slice(4, 6)
    assert (est.albedo_std[:, lost] > 1.5 * found.albedo_std[:, lost]).all()
    assert (est.albedo_std[:, lost] < 2 * 0.03).all()
    score = abs((est.albedo - truth["albedo"]) / est.albedo_std)[:, lost]
    assert 0.5 < (score < 1).mean() < 0.85
    # the first of them has left hardly a trace: it lies between the days about it
    between = est.albedo[:, 3].values * 2 / 3 + est.albedo[:, 6].values / 3
    assert abs(est.albedo[:, 4].values - between).max() < 0.03


@pytest.mark.slow
@pytest.mark.optimised
def test_how_smooth_it_is_can_be_estimated():
    ds, truth = network(step=0.02)
    free = EVERY_DAY | {
        "albedo": xlsm.Parameter(every="1D", smooth="estimated"),
        "combined_transfer_coefficient": xlsm.Parameter(every="5D"),  # which has no walk
    }
    est = estimate(ds, free, truth)
    assert (est.status == xlsm.Status.converged).all()
    walked = truth["albedo"].diff("every_1D").std("every_1D")
    error = np.log(est.albedo_smooth / walked)
    assert abs(error).median() < 0.2
    assert abs(error.median()) < 0.1
    assert est.albedo_smooth.attrs["units"] == "1"
    score = abs((est.albedo - truth["albedo"]) / est.albedo_std)
    assert 0.6 < (score < 1).mean() < 0.76
    # what does not change at all is found not to
    flat = ds.copy()
    still = truth | {"albedo": truth["albedo"][:, 0]}
    sim = ds.lsm.simulate(still, depth=[0.02, 0.1], outputs=list(SEEN))
    random = np.random.default_rng(5)
    for name, error in SEEN.items():
        flat[name] = sim[name] + error * random.standard_normal(sim[name].shape)
    constant = estimate(flat, free, truth)
    assert constant.albedo_smooth.median() < 0.002


def test_lazy_results_survive_a_store(stations, found, tmp_path):
    ds, truth = stations
    lazy = estimate(ds.chunk(station=48), truth=truth)
    assert lazy.albedo.chunks is not None
    lazy.lsm.to_zarr(tmp_path / "est.zarr")
    with xr.open_zarr(tmp_path / "est.zarr") as back:
        xr.testing.assert_identical(back.albedo.compute(), found.albedo)
        seen = {"depth": [0.02, 0.1], "outputs": "SoilTemp"}
        again, once = ds.lsm.simulate(back.compute(), **seen), ds.lsm.simulate(found, **seen)
        xr.testing.assert_equal(again.SoilTemp, once.SoilTemp)


def test_held_out_days_are_predicted(stations):
    ds, truth = stations
    est = estimate(ds, truth=truth, holdout="every 4th day")
    assert (est.rmse.sel(part="held out", observable="AvgSurfT") < 1.0).all()
    assert (est.rmse < est.rmse_line).all()


def test_an_albedo_of_the_sun_that_changes_from_day_to_day():
    """The diurnal form is of the sun's height; its level varies beside it."""
    model = xlsm.Model(surface=xlsm.BareSurface(albedo=xlsm.SolarAlbedo()))
    ds = twins.forcing(hours=24 * 4).assign_coords(lat=40.0, lon=0.0)
    truth = twins.truth() | {
        "albedo": daily([0.2, 0.3, 0.25, 0.22]),
        "albedo_sun_dependence": 0.4,
    }
    sim = ds.lsm.simulate(truth, model=model, outputs=["SWup", "AvgSurfT"])
    ds = ds.assign(SWup=sim.SWup)
    free = {"albedo": xlsm.Parameter(every="1D"), "albedo_sun_dependence": xlsm.Parameter()}
    fixed = {name: truth[name] for name in twins.FREE[1:]}
    est = ds.lsm.estimate(free, observed={"SWup": 2.0}, fixed=fixed, model=model)
    np.testing.assert_allclose(est.albedo, truth["albedo"], atol=1e-8)
    assert float(est.albedo_sun_dependence) == pytest.approx(0.4, abs=1e-7)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"smooth": 0.1}, "say how often, e.g. every='1D'"),
        ({"interpolation": "linear"}, "say how often"),
        ({"every": "1D", "smooth": 0.0}, "smooth must be a positive number, or 'estimated'"),
        ({"every": "1D", "smooth": "much"}, "smooth must be a positive number"),
        ({"every": "1D", "interpolation": "cubic"}, "'piecewise' or 'linear', got 'cubic'"),
        ({"initial": daily([0.2, 0.3])}, "initial must be constant in time"),
    ],
)
def test_options_that_say_nothing(options, says):
    with pytest.raises(ParameterError, match=says):
        xlsm.Parameter(**options)


@pytest.mark.parametrize(
    ("every", "options", "error", "says"),
    [
        ("often", {}, ParameterError, "a duration such as '1D' or '6h', or one of month"),
        ("10min", {}, TimeAxisError, "shorter than the time step of 3600 s"),
        ("1D", {"window": "2D"}, ParameterError, "leave out one of them"),
    ],
)
def test_pieces_that_cannot_be(every, options, error, says):
    ds = twins.twin(hours=72)
    free = {"albedo": xlsm.Parameter(every=every)}
    with pytest.raises(error, match=says):
        ds.lsm.estimate(free, observed="SoilTemp", **options)


def test_too_many_values_are_refused():
    ds = record(5000)
    with pytest.raises(ParameterError, match=r"makes 4999 values .* no more than 4000"):
        pieces_of(ds, "1h", linear=False, name="albedo")


def test_other_verbs_look_at_constants(stations, found):
    ds, _ = stations
    one, est = ds.isel(station=0), found.isel(station=0)
    free = {"albedo": xlsm.Parameter(every="1D"), "heat_capacity": xlsm.Parameter()}
    values = {name: est[name] for name in EVERY_DAY}
    with pytest.raises(ParameterError, match="leave out every= of albedo"):
        one.lsm.identifiability(values, free=free, observed=SEEN)
    with pytest.raises(ParameterError, match="albedo is not: leave it out"):
        one.lsm.identifiability(values, observed=SEEN)
    with pytest.raises(ParameterError, match="sample looks at parameters that are constant"):
        one.lsm.sample(free, observed=SEEN)
    with pytest.raises(ParameterError, match="compare looks at parameters that are constant"):
        xlsm.compare(one, {"a": "default"}, free=free, holdout="1D")
    # an estimate is looked at where it is, with its series held at its values
    looked = one.lsm.identifiability(est, observed=SEEN)
    assert list(looked.parameter.values) == list(OTHERS)


def test_a_dark_day_among_many_values_is_said_to_be_unseen(monkeypatch):
    """By the variance of a ridge, where eigenvectors would take long."""
    monkeypatch.setattr(problem_module, "FEW", 5)
    monkeypatch.setattr(posterior, "FEW", 5)
    monkeypatch.setattr(linear, "FEW", 5)
    ds, truth = network(3, noise=0.0, dark=4)
    free = EVERY_DAY | {"albedo": xlsm.Parameter(every="1D", bounds=(0.001, 0.999))}
    est = estimate(ds, free, truth)
    assert (est.status == xlsm.Status.not_identifiable).all()
    assert np.isinf(est.albedo_std[:, 4]).all()
    assert np.isfinite(est.albedo_std).sum() == 3 * (DAYS - 1)
    for name in free:
        assert (abs(est[name] - truth[name]) / est[f"{name}_std"]).max() < 1e-5, name
