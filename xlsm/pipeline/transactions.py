"""An Icechunk repository as the place of a result.

Workers write into forks of a session and give them back; the driver alone commits, some regions at
a time. What was not committed is not there for any reader, and is computed again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zarr

from xlsm.errors import LSMError
from xlsm.pipeline.beside import Beside, FsspecBeside
from xlsm.pipeline.places import LEASE, LOG, secrets_in

__all__ = ["RepositoryPlace", "repository_at"]

BRANCH = "main"
#: A branch of its own holds the lease: nothing of it ever shows in the result.
LEASE_BRANCH = "xlsm-lease"
#: Attribute of the root of that branch.
HOLDER = "holder"


@dataclasses.dataclass
class ForkWriter:
    """A fork of the driver's session; a task writes into a copy of its own."""

    fork: bytes
    session: Any = None

    def open(self) -> zarr.Group:
        """As `xlsm.pipeline.places.Writer` says."""
        self.session = pickle.loads(self.fork)  # made by the driver of this run
        return zarr.open_group(self.session.store, mode="r+")

    def receipt(self) -> bytes:
        """As `xlsm.pipeline.places.Writer` says."""
        return pickle.dumps(self.session)


@dataclasses.dataclass(frozen=True)
class LeaseBranch:
    """A small object as an attribute on a branch, whose commits are atomic."""

    repo: Any

    def create(self, data: bytes) -> bool:
        """As `xlsm.pipeline.beside.Beside` says."""
        import icechunk

        if LEASE_BRANCH not in self.repo.list_branches():
            first = list(self.repo.ancestry(branch=BRANCH))[-1].id
            with contextlib.suppress(icechunk.IcechunkError):  # somebody was quicker
                self.repo.create_branch(LEASE_BRANCH, first)
        session = self.repo.writable_session(LEASE_BRANCH)
        if _attribute(session.store, HOLDER):
            return False
        try:
            self._commit(session, data)
        except icechunk.ConflictError:
            return False
        return True

    def read(self) -> bytes:
        """As `xlsm.pipeline.beside.Beside` says."""
        if LEASE_BRANCH not in self.repo.list_branches():
            return b""
        return _attribute(self.repo.readonly_session(LEASE_BRANCH).store, HOLDER).encode()

    def write(self, data: bytes) -> None:
        """As `xlsm.pipeline.beside.Beside` says."""
        self._commit(self.repo.writable_session(LEASE_BRANCH), data)

    def remove(self) -> None:
        """As `xlsm.pipeline.beside.Beside` says."""
        if LEASE_BRANCH in self.repo.list_branches():
            self.repo.delete_branch(LEASE_BRANCH)

    def _commit(self, session: Any, data: bytes) -> None:
        zarr.open_group(session.store, mode="a").attrs[HOLDER] = data.decode()
        session.commit("lease")


class RepositoryPlace:
    """A repository, opened or not.

    Parameters
    ----------
    repo : icechunk.Repository or None
        None where it is not there yet.
    storage : icechunk.Storage, optional
        Where to create it.
    url : str, optional
        What it is called, if it was named.
    options : mapping, optional
        What it was opened with.
    """

    def __init__(
        self,
        repo: Any,
        storage: Any = None,
        url: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = url or str(repo.storage)
        self._repo, self._storage = repo, storage
        self._path, self._options = _local_path(url), dict(options or {})
        self._session: Any = None
        self._tip: str | None = None

    @property
    def repo(self) -> Any:
        """The repository, which is created if it has to be."""
        if self._repo is None:
            import icechunk

            self._repo = icechunk.Repository.open_or_create(self._storage)
        return self._repo

    def store(self, *, read_only: bool = True) -> Any:
        """As `xlsm.pipeline.places.Place` says."""
        if read_only:
            if self._repo is None and not _is_repository(self._storage):
                raise FileNotFoundError(f"there is no Icechunk repository {self.name}")
            return self.repo.readonly_session(BRANCH).store
        self._session = self.repo.writable_session(BRANCH)
        return self._session.store

    def occupied(self) -> bool:
        """As `xlsm.pipeline.places.Place` says."""
        if self._path is None or self._repo is not None or _is_repository(self._storage):
            return False
        return self._path.exists() and any(self._path.iterdir())

    def lease(self) -> Beside:
        """As `xlsm.pipeline.places.Place` says."""
        if self._path is not None:  # commits on a disk are not atomic; a hard link is
            return FsspecBeside.of(str(self._path), {}, LEASE)
        return LeaseBranch(self.repo)

    def log(self) -> Beside | None:
        """As `xlsm.pipeline.places.Place` says."""
        return None if self._path is None else FsspecBeside.of(str(self._path), {}, LOG)

    def writer(self) -> ForkWriter:
        """As `xlsm.pipeline.places.Place` says."""
        session = self.repo.writable_session(BRANCH)
        self._tip = self._tip or session.snapshot_id
        return ForkWriter(pickle.dumps(session.fork()))

    def commit(self, receipts: Sequence[bytes], message: str) -> None:
        """As `xlsm.pipeline.places.Place` says."""
        import icechunk

        if receipts:
            # forks of an earlier snapshot may be merged: they hold chunks, and nothing else
            self._session = self.repo.writable_session(BRANCH)
            if self._tip is not None and self._session.snapshot_id != self._tip:
                raise LSMError(f"{self.name}: somebody else has committed to it meanwhile")
            self._session.merge(*(pickle.loads(fork) for fork in receipts))
        token = uuid.uuid4().hex
        try:
            self._tip = self._session.commit(message, metadata={"token": token})
        except icechunk.ConflictError as error:
            tip = next(iter(self.repo.ancestry(branch=BRANCH)))
            if tip.metadata.get("token") == token:  # only the answer was lost
                self._tip = tip.id
                return
            raise LSMError(f"{self.name}: somebody else has committed to it meanwhile") from error
        except icechunk.IcechunkError as error:
            raise LSMError(
                f"{self.name}: could not commit what was computed ({str(error).splitlines()[0]}). "
                "What was committed before stays; run it again to go on"
            ) from error

    def sweep(self) -> None:
        """As `xlsm.pipeline.places.Place` says."""

    def secrets(self) -> list[str]:
        """As `xlsm.pipeline.places.Place` says."""
        return secrets_in(self._options)


def repository_at(url: str, options: Mapping[str, Any]) -> RepositoryPlace:
    """Find a repository by ``icechunk://PATH``, ``icechunk+s3://BUCKET/PREFIX``, ``gs``, ``az``.

    Parameters
    ----------
    url : str
        As above.
    options : mapping
        Further arguments of ``icechunk.s3_storage`` and its like; credentials are by default those
        of the environment.

    Returns
    -------
    RepositoryPlace

    Raises
    ------
    LSMError
        If it is no such URL, or icechunk is not installed.
    """
    try:
        import icechunk
    except ImportError as error:
        raise LSMError(
            f'{url} needs icechunk, which is not installed: pip install "xlsm[icechunk]"'
        ) from error
    scheme, _, rest = url.partition("://")
    kind = scheme.removeprefix("icechunk").lstrip("+")
    bucket, _, prefix = rest.strip("/").partition("/")
    given = {"from_env": True, **options} if not _names_credentials(options) else dict(options)
    if kind == "az":  # the one thing that Icechunk does not find in the environment by itself
        given.setdefault("account", os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", ""))
        if not given["account"]:
            raise LSMError(
                f"{url}: whose account is it? Set AZURE_STORAGE_ACCOUNT_NAME, or give "
                "storage_options={'account': ...}"
            )
    if not kind:
        # it warns of commits at the same time, which the lease keeps apart
        icechunk.set_logs_filter("error")
        storage = icechunk.local_filesystem_storage(str(_local_path(url)))
    elif kind == "s3":
        storage = icechunk.s3_storage(bucket=bucket, prefix=prefix, **given)
    elif kind == "gs":
        storage = icechunk.gcs_storage(bucket=bucket, prefix=prefix, **given)
    elif kind == "az":
        storage = icechunk.azure_storage(container=bucket, prefix=prefix, **given)
    else:
        raise LSMError(
            f"{url}: expected icechunk://PATH, or icechunk+s3://BUCKET/PREFIX, icechunk+gs://..., "
            "icechunk+az://..."
        )
    repo = icechunk.Repository.open(storage) if _is_repository(storage) else None
    return RepositoryPlace(repo, storage, url, options)


def _names_credentials(options: Mapping[str, Any]) -> bool:
    return any("key" in name or "token" in name or "credentials" in name for name in options) or (
        "anonymous" in options
    )


def _local_path(url: str) -> Path | None:
    return Path(url.removeprefix("icechunk://")) if url.startswith("icechunk://") else None


def _is_repository(storage: Any) -> bool:
    import icechunk

    return bool(icechunk.Repository.exists(storage))


def _attribute(store: Any, name: str) -> str:
    """Read an attribute of the root group, which may not be there."""
    try:
        return str(zarr.open_group(store, mode="r").attrs.get(name, ""))
    except FileNotFoundError:
        return ""
