"""Data to learn and test with: made in process, or from real towers.

``"twin"`` and ``"huang2025"`` are made on the spot and carry the truth: each true parameter is
a variable ``true_<parameter>``, and `truth` gives them as a set of parameters. The real data
sets are files that others measured; they are looked for by name as ``<name>.nc``

1. in the folder named by the environment variable ``XLSM_DATA``,
2. in pooch's cache, ``pooch.os_cache("xlsm")``,
3. at their public record, or at the address in the environment variable ``XLSM_DATA_URL``, the
   base address of a mirror, ``<XLSM_DATA_URL>/<name>.nc``; the checksum must fit.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import xarray as xr

from xlsm import twin
from xlsm.arguments import did_you_mean
from xlsm.errors import DataNotFoundError
from xlsm.twin import network, truth

__all__ = ["NAMES", "network", "open_dataset", "truth"]


@dataclasses.dataclass(frozen=True)
class Record:
    """A file that others measured.

    Parameters
    ----------
    sha256 : str
        Checksum of the file as xlsm's documentation and tests know it.
    source : str
        Where it was made from.
    licence : str
        What may be done with it.
    url : str or None
        Public address of this very file; None where there is none but a mirror's.
    """

    sha256: str
    source: str
    licence: str
    url: str | None = None


MADE: dict[str, Callable[[], xr.Dataset]] = {"twin": network, "huang2025": twin.huang2025}
RECORDS = {
    "US-WestPhoenix_2012": Record(
        "48dace99d426c1278bfa6df23179b6a5f9e6443a08d4f2f85699fbc6c44455bf",
        "'Inverse model_West Phoenix/US-WestPhoenix_clean_observations_v1.nc' in "
        "github.com/RuiyueH/SEB-model at commit b4385b96c2b827b1afd34fa8e79e0649f6377bd9; "
        "Urban-PLUMBER, https://doi.org/10.5281/zenodo.5517550",
        "CC-BY-4.0",
    ),
    "US-Bondville_1998": Record(
        "2014273abc6e3183c5bf23ec1fbec6b8045332b25aeb76c2723b007d2f1848f4",
        "test/forcing98_with_validation.dat in github.com/NOAA-EMC/NoahLSM at commit "
        "a1644011e3e0428396eeb8340d878c32a5bbcae6; Meyers & Hollinger (2004), "
        "https://doi.org/10.1016/j.agrformet.2004.03.009",
        "US Government work, please acknowledge T. Meyers, NOAA/ARL/ATDD",
    ),
    "US-ARM-SGP_2017-06": Record(
        "9a72d1065ddcbf4755dcc13d67a7a629bc67eef80d24e862607835335ff67769",
        "cases/arm/observations in github.com/UtahEFD/UtahLSM at commit "
        "6203a117faef444dee73f2877c97d603d2e7b2fa; STAMP, https://doi.org/10.5439/1238260",
        "free with acknowledgement of the ARM user facility",
    ),
}
#: Every name `open_dataset` knows.
NAMES = (*MADE, *RECORDS)


def open_dataset(name: str) -> xr.Dataset:
    """Open a data set by name, loaded into memory.

    Parameters
    ----------
    name : str
        ``"twin"``: a synthetic network of 24 stations and 7 days with noise and gaps, from the
        default model; see `network` for other sizes. ``"huang2025"``: the synthetic case of
        arXiv 2505.02979, without noise, from the preset of that name. Real towers:
        ``"US-WestPhoenix_2012"``, ``"US-Bondville_1998"``, ``"US-ARM-SGP_2017-06"``; where they
        are looked for says the module.

    Returns
    -------
    Dataset
        Forcing and observations under their ALMA names; of those made in process also the truth,
        ``true_<parameter>``.

    Raises
    ------
    DataNotFoundError
        If there is no data set of that name, or it is neither on this machine nor reachable, or
        what was downloaded is not the file it should be.

    Warns
    -----
    UserWarning
        If a file in ``XLSM_DATA`` is not the one xlsm was tested with.

    Examples
    --------
    >>> ds = open_dataset("twin")
    >>> dict(ds.sizes)
    {'station': 24, 'time': 337, 'depth': 3}
    >>> float(ds.true_albedo.sel(station="S003").round(3))
    0.324
    """
    if name in MADE:
        return MADE[name]()
    if name not in RECORDS:
        raise DataNotFoundError(
            f"there is no data set {name!r}.{did_you_mean(name, NAMES, {})} "
            f"There are {', '.join(NAMES)}."
        )
    return xr.load_dataset(_find(name, RECORDS[name]), engine="h5netcdf")


def _find(name: str, record: Record) -> Path:
    """Give the path of a file: the user's own, or pooch's, downloaded now if it must be."""
    import pooch  # slow to import, and rarely needed

    folder = os.environ.get("XLSM_DATA")
    path = Path(folder or ".").expanduser() / f"{name}.nc"
    if folder and path.is_file():
        if pooch.file_hash(str(path), alg="sha256") != record.sha256:
            warnings.warn(
                f"{path} is not the file xlsm was tested with (its SHA-256 differs): results may "
                "differ from those in the documentation",
                stacklevel=3,
            )
        return path
    cache = Path(pooch.os_cache("xlsm"))
    mirror = os.environ.get("XLSM_DATA_URL")
    url = f"{mirror.rstrip('/')}/{name}.nc" if mirror else record.url
    cached = cache / f"{name}.nc"
    if cached.is_file() and pooch.file_hash(str(cached), alg="sha256") == record.sha256:
        return cached
    if url is None:
        raise DataNotFoundError(_where_from(name, record, "no public address holds this file"))
    try:
        found = pooch.retrieve(
            url, known_hash=f"sha256:{record.sha256}", fname=f"{name}.nc", path=cache
        )
    # requests' and urllib3's errors are OSErrors; a ValueError is pooch's word for a wrong file
    except (OSError, ValueError) as error:
        raise DataNotFoundError(_where_from(name, record, f"{url} failed: {error}")) from error
    return Path(found)


def _where_from(name: str, record: Record, reason: str) -> str:
    import pooch

    folder = os.environ.get("XLSM_DATA")
    looked = f"{folder} (XLSM_DATA)" if folder else "XLSM_DATA (not set)"
    return (
        f"{name}.nc is neither in {looked} nor in {pooch.os_cache('xlsm')}, and {reason}.\n"
        f"Made from: {record.source}.\n"
        f"Licence: {record.licence}.\n"
        f"Put it as {name}.nc into a folder and set XLSM_DATA to that folder, or set "
        "XLSM_DATA_URL to the address of a mirror that holds it."
    )
