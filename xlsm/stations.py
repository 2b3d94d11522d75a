"""Many files, each of one station, as one Dataset."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import xarray as xr

from xlsm.errors import (
    DataNotFoundError,
    DimensionError,
    LSMError,
    MissingVariableError,
    TimeAxisError,
)
from xlsm.pipeline.address import filesystem
from xlsm.reading import FILES, exists, is_zarr
from xlsm.station_block import Axis
from xlsm.station_file import StationFile, file_name, look_at
from xlsm.station_union import united

__all__ = ["is_many", "open_stations"]

#: Files of a server or a bucket looked at together: it is waiting that takes the time.
TOGETHER = 16

Source = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def open_stations(
    source: Source, *, rename: Mapping[str, str] | None = None, label: str | None = None
) -> xr.Dataset:
    """Open many files, each of one station on its own times, as one lazy Dataset.

    Of every file only the metadata and the times are read; values are read by Dask, some stations
    at a time, where and when they are needed.

    Parameters
    ----------
    source : str, path, or iterable of them
        A folder, whose NetCDF files and Zarr stores are taken; a pattern such as
        ``"sites/*.nc"``; or the files. URLs of buckets are welcome.
    rename : mapping of str to str, optional
        New names of variables and dimensions by what the files call them; in the files that have
        them.
    label : str, optional
        Scalar variable or attribute with the name of the station, or ``"file"`` for the name of
        the file. By default the first there is of ``cf_role = "timeseries_id"``, ``station``,
        ``station_id``, ..., ``site``, ``site_code``, ...; else the name of the file.

    Returns
    -------
    Dataset
        (station, time) and (station, time, depth), in the order of the sorted paths, on regular
        times from the first to the last of all files; NaN where a station has no record, and
        where its file lacks a variable or a depth. Scalars (latitude, elevation, ...) are
        coordinates along ``station``. Where units differ they are converted; attributes that
        differ are dropped. What has other dimensions, or is no series of numbers, is left out.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    TimeAxisError
        If a file has other steps than the rest, or times between theirs.
    DimensionError
        If two files have the same name, or a variable other dimensions than in the rest.
    UnitsError
        If units cannot be brought together.
    LSMError
        If a file cannot be read. All errors name the file.

    Warns
    -----
    LSMWarning
        If variables that xlsm does not know are left out for one of these reasons, or
        observations are means in some files and not in others.

    Examples
    --------
    Two stations, one of them for the second day only:

    >>> import pathlib, tempfile, xlsm
    >>> network = xlsm.tutorial.network(stations=2, days=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i, times in enumerate([slice(None), slice("2024-06-02", None)]):
    ...         one = network.isel(station=i).sel(time=times)
    ...         one.to_netcdf(pathlib.Path(folder) / f"{i}.nc", engine="h5netcdf")
    ...     ds = xlsm.open_stations(folder)
    ...     ds.sizes["time"], ds.station.values.tolist(), ds.Tair.count("time").values
    (97, ['S000', 'S001'], array([97, 49]))
    """
    paths = _paths(source)
    files = _looked_at(paths, dict(rename or {}), label)
    names = _station_names(files)
    axis = _axis(files)
    return united(files, names, axis, dict(rename or {}))


def is_many(source: str) -> bool:
    """Tell whether a path or URL is a folder of files, or a pattern that some match."""
    if _is_pattern(source):
        return True
    if source.partition("?")[0].endswith(FILES):
        return False  # a web server would have to be asked for the whole file
    files, path = filesystem(source)
    return not is_zarr(source) and bool(files.isdir(path))


def _is_pattern(source: str) -> bool:
    signs = "*" if "://" in source else "*?["  # a URL may have a query
    return any(sign in source for sign in signs) and not exists(source)


def _paths(source: Source) -> list[str]:
    """List the files that are meant."""
    if not isinstance(source, str | os.PathLike):
        found = [os.fspath(path) for path in source]
        if not found:
            raise DataNotFoundError("there is no file to open: the list is empty")
        return found
    source = os.fspath(source)
    files, path = filesystem(source)
    if _is_pattern(source):
        found = files.glob(path)
        what = f"no file matches {source}"
    elif is_many(source):
        inside = files.ls(path, detail=False)
        found = [one for one in inside if one.rstrip("/").endswith((*FILES, ".zarr"))]
        what = f"the folder {source} holds no file that ends in {', '.join(FILES)}, and no .zarr"
    elif exists(source) or is_zarr(source):
        return [source]
    else:
        found, what = [], f"there is no file or folder {source}"
    if not found:
        raise DataNotFoundError(what)
    there = sorted(str(one).rstrip("/") for one in found)
    return [str(files.unstrip_protocol(one)) for one in there] if "://" in source else there


def _looked_at(
    paths: Sequence[str], rename: Mapping[str, str], label: str | None
) -> list[StationFile]:
    def look(path: str) -> StationFile:
        try:
            return look_at(path, rename, label)
        except LSMError as error:
            if path in str(error) and "cannot be read" not in str(error):
                raise
            raise LSMError(f"{error}. Mend {path} or leave it out") from error

    if any("://" in path for path in paths):
        with ThreadPoolExecutor(TOGETHER) as pool:
            files = list(pool.map(look, paths))
    else:
        files = [look(path) for path in paths]
    missing = set(rename).difference(*(file.renamed for file in files))
    if missing:
        raise MissingVariableError(f"no file has {', '.join(sorted(missing))}, to be renamed")
    return files


def _station_names(files: Sequence[StationFile]) -> list[str]:
    """Name the stations, each by another name."""
    names = [file.name for file in files]
    if len(files) > 1 and len(set(names)) == 1 and names[0].isdigit():
        names = [file_name(file.path) for file in files]  # an index, the same in all files
    first: dict[str, StationFile] = {}
    for name, file in zip(names, files, strict=True):
        other = first.setdefault(name, file)
        if other is not file:
            raise DimensionError(
                f"{other.path} and {file.path} are both of the station {name!r}: join them "
                "in one file (xr.concat along time), or, if they are two stations, name them by "
                'their files: xlsm.open_stations(..., label="file")'
            )
    return list(first)


def _axis(files: Sequence[StationFile]) -> Axis:
    """Regular times from the first to the last, on which all files are."""
    counts = Counter(file.step for file in files if file.step)
    step = counts.most_common(1)[0][0] if counts else 1_000_000_000
    odd = [file for file in files if file.step not in (0, step)]
    if odd:
        usual = next(file for file in files if file.step == step)
        raise TimeAxisError(
            f"time steps differ: {step / 1e9:g} s in {_named([usual], counts[step])}, "
            f"{odd[0].step / 1e9:g} s in {_named(odd)}. Leave the one or the other out, or bring "
            f"them to one step: ds.resample(time='{max(step, odd[0].step) / 1e9:g}s').mean()"
        )
    first, last = min(file.first for file in files), max(file.last for file in files)
    between = [file for file in files if (file.first - first) % step]
    if between:
        start = next(file for file in files if file.first == first)
        raise TimeAxisError(
            f"the times of {_named(between)} lie between those of {start.path}, "
            f"{(between[0].first - first) % step / 1e9:g} s behind them: bring them to the same "
            f"times, ds.interp(time=...), or leave them out"
        )
    return Axis(first, step, (last - first) // step + 1)


def _named(files: Sequence[StationFile], count: int | None = None) -> str:
    """Name a file, and count the others."""
    more = (len(files) if count is None else count) - 1
    return files[0].path + (f" (and {more} more)" if more else "")
