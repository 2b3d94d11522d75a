"""Where a result is written: a path, a bucket by fsspec or obstore, an Icechunk repository.

All of them give the same few things: a Zarr store, a lease, a log, a writer that can be sent to
workers, and a commit, which does nothing where a chunk that is written is there at once.
"""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import zarr
from zarr.storage import FsspecStore, LocalStore, ObjectStore

from xlsm.errors import LSMError
from xlsm.pipeline.address import filesystem
from xlsm.pipeline.beside import Beside, FsspecBeside, ObstoreBeside

__all__ = [
    "LEASE",
    "LOG",
    "SECRET",
    "FsspecPlace",
    "Place",
    "StoreWriter",
    "Writer",
    "place_of",
    "secrets_in",
]

LEASE, LOG = ".lease", ".log.jsonl"
#: Parts of the names of options that are credentials.
SECRET = ("key", "secret", "token", "password", "credential")


class Writer(Protocol):
    """What a task is given to write with; it is pickled to the workers, and nowhere else."""

    def open(self) -> zarr.Group:
        """Give the group to write into."""

    def receipt(self) -> bytes | None:
        """Give what the driver needs to commit what was written, if anything."""


class Place(Protocol):
    """Where a result is written."""

    @property
    def name(self) -> str:
        """What it is called in messages; no credentials are in it."""

    def store(self, *, read_only: bool = True) -> Any:
        """Give the Zarr store, which may not be there yet."""

    def occupied(self) -> bool:
        """Whether there is something that is no Zarr store."""

    def lease(self) -> Beside:
        """Where the lease lies."""

    def log(self) -> Beside | None:
        """Where the log lies; None where the place keeps a history of its own."""

    def writer(self) -> Writer:
        """Give what tasks write with."""

    def commit(self, receipts: Sequence[bytes], message: str) -> None:
        """Make what the driver and the tasks have written count."""

    def sweep(self) -> None:
        """Remove what writes that were killed have left; nobody else is writing."""

    def secrets(self) -> list[str]:
        """Give the credentials it was given, which no message may hold."""


@dataclasses.dataclass(frozen=True)
class StoreWriter:
    """A writer whose chunks are there as soon as they are written.

    Parameters
    ----------
    store : zarr.abc.store.Store
        What it writes into.
    run : str
        Of this run alone: a process that writes for several opens the arrays of each.
    """

    store: Any
    run: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)

    def open(self) -> zarr.Group:
        """As `Writer` says."""
        return zarr.open_group(self.store, mode="r+")

    def receipt(self) -> None:
        """As `Writer` says."""


@dataclasses.dataclass(frozen=True)
class FsspecPlace:
    """A local path, or a URL that fsspec knows.

    Parameters
    ----------
    name : str
        Path or URL.
    options : dict
        Options of the fsspec file system.
    """

    name: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def path(self) -> Path | None:
        """The path, where it is one."""
        local = self.name.removeprefix("file://")
        return None if "://" in local else Path(local)

    def store(self, *, read_only: bool = True) -> Any:
        """As `Place` says."""
        if self.path is not None:
            # whole: a worker may have been started elsewhere
            return LocalStore(self.path.absolute(), read_only=read_only)
        filesystem(self.name, self.options)  # which says what is missing, where something is
        store = FsspecStore.from_url(self.name, dict(self.options) or None, read_only)
        # what was listed before may be listed from memory, and adlfs does not notice new folders
        store.fs.invalidate_cache()
        return store

    def occupied(self) -> bool:
        """As `Place` says."""
        files, path = filesystem(self.name, self.options)
        return bool(files.exists(path) and files.ls(path))

    def lease(self) -> Beside:
        """As `Place` says."""
        return FsspecBeside.of(self.name, self.options, LEASE)

    def log(self) -> Beside:
        """As `Place` says."""
        return FsspecBeside.of(self.name, self.options, LOG)

    def writer(self) -> StoreWriter:
        """As `Place` says."""
        return StoreWriter(self.store(read_only=False))

    def commit(self, receipts: Sequence[bytes], message: str) -> None:
        """As `Place` says."""

    def sweep(self) -> None:
        """As `Place` says."""
        if self.path is not None:  # an object in a bucket is there whole, or not
            for leftover in self.path.rglob("*.partial"):
                leftover.unlink(missing_ok=True)

    def secrets(self) -> list[str]:
        """As `Place` says."""
        return secrets_in(self.options)


@dataclasses.dataclass(frozen=True)
class ObstorePlace:
    """A store of obstore, whose prefix is the result.

    Parameters
    ----------
    inner : obstore.store.ObjectStore
        Such as ``obstore.store.S3Store("bucket", prefix="out.zarr")``.
    """

    inner: Any

    @property
    def name(self) -> str:
        """As `Place` says."""
        return str(self.inner)  # it leaves the credentials out

    def store(self, *, read_only: bool = True) -> Any:
        """As `Place` says."""
        return ObjectStore(self.inner, read_only=read_only)

    def occupied(self) -> bool:
        """As `Place` says."""
        import obstore

        return any(len(objects) for objects in obstore.list(self.inner, chunk_size=1))

    def lease(self) -> Beside:
        """As `Place` says."""
        return self._beside(LEASE)

    def log(self) -> Beside:
        """As `Place` says."""
        return self._beside(LOG)

    def writer(self) -> StoreWriter:
        """As `Place` says."""
        return StoreWriter(self.store(read_only=False))

    def commit(self, receipts: Sequence[bytes], message: str) -> None:
        """As `Place` says."""

    def sweep(self) -> None:
        """As `Place` says."""

    def secrets(self) -> list[str]:
        """As `Place` says."""
        return secrets_in(getattr(self.inner, "config", None) or {})

    def _beside(self, suffix: str) -> ObstoreBeside:
        """In the folder in which the prefix lies: inside it, it would be taken for data."""
        prefix = str(self.inner.prefix or "").strip("/")
        folder, _, name = prefix.rpartition("/")
        if not name:
            raise LSMError(
                f"{self.name}: a result needs a name of its own in the bucket; give the store a "
                "prefix, such as prefix='out.zarr'"
            )
        options = {
            key: getattr(self.inner, key, None)
            for key in ("config", "client_options", "retry_config", "credential_provider")
        }
        given = {key: value for key, value in options.items() if value is not None}
        if "config" not in given:  # of a disk
            return ObstoreBeside(type(self.inner)(f"/{folder}"), name + suffix)
        return ObstoreBeside(type(self.inner)(prefix=folder or None, **given), name + suffix)


def secrets_in(options: Mapping[str, Any]) -> list[str]:
    """Find credentials among options, by their names.

    Examples
    --------
    >>> secrets_in({"key": "abcd", "endpoint_url": "http://here", "client": {"sas_token": "efgh"}})
    ['abcd', 'efgh']
    """
    found = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            found += secrets_in(value)
        elif isinstance(value, str) and any(part in str(name).lower() for part in SECRET):
            found.append(value)
    return [value for value in found if value]


def place_of(store: Any, storage_options: Mapping[str, Any] | None = None) -> Place:
    """Say where a result is to be written, from what a user gives.

    Parameters
    ----------
    store : str, path, obstore store, zarr.storage.ObjectStore or icechunk.Repository
        ``icechunk://PATH``, ``icechunk+s3://BUCKET/PREFIX`` (``gs``, ``az``) are repositories.
    storage_options : mapping, optional
        Options of the fsspec file system, or of Icechunk's storage.

    Returns
    -------
    Place

    Raises
    ------
    LSMError
        If it is something else, or the package for it is missing.
    """
    options = dict(storage_options or {})
    if isinstance(store, str | os.PathLike):
        name = os.fspath(store)
        if name.startswith("icechunk"):
            from xlsm.pipeline.transactions import repository_at

            return repository_at(name, options)
        return FsspecPlace(name, options)
    package = type(store).__module__.partition(".")[0]
    if options:
        raise LSMError(f"storage_options belong to a URL; {store!r} has its own")
    if isinstance(store, ObjectStore):
        return ObstorePlace(store.store)
    if package == "obstore":
        return ObstorePlace(store)
    if package == "icechunk" and hasattr(store, "writable_session"):
        from xlsm.pipeline.transactions import RepositoryPlace

        return RepositoryPlace(store)
    raise LSMError(
        "resume=True needs what the next run can be given too: a path, a URL, a store of obstore "
        f"or an icechunk.Repository; got {type(store).__name__}"
    )
