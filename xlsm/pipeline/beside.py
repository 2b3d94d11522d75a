"""Small objects beside a store, its lease and its log: written whole, created by one only."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import uuid
from typing import Any, Protocol

from fsspec.implementations.local import LocalFileSystem

from xlsm.pipeline.address import filesystem

__all__ = ["Beside", "FsspecBeside", "ObstoreBeside"]


class Beside(Protocol):
    """A small object, whatever it lies on."""

    def create(self, data: bytes) -> bool:
        """Write it where nothing is, or say that there is something; atomic."""

    def read(self) -> bytes:
        """Give what it holds; nothing where it is not."""

    def write(self, data: bytes) -> None:
        """Replace it at once."""

    def remove(self) -> None:
        """Take it away, if it is there."""


@dataclasses.dataclass(frozen=True)
class FsspecBeside:
    """Through fsspec; on a local disk by hard links and renames, which are atomic there.

    Parameters
    ----------
    files : fsspec.AbstractFileSystem
        Where it lies.
    path : str
        Its path there.
    """

    files: Any
    path: str

    @classmethod
    def of(cls, store: str, options: dict[str, Any], suffix: str) -> FsspecBeside:
        """Beside a store, by the same name and a suffix."""
        files, path = filesystem(store, options)
        return cls(files, path.rstrip("/") + suffix)

    def create(self, data: bytes) -> bool:
        """As `Beside` says."""
        if isinstance(self.files, LocalFileSystem):
            # fsspec looks first and creates then, which two can do at once; and nobody may ever
            # read a lease without a holder
            own = self._written(data)
            try:
                os.link(own, self.path)
            except FileExistsError:
                return False
            finally:
                os.unlink(own)
            return True
        try:
            self.files.pipe_file(self.path, data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:  # S3 calls it a failed precondition
            if "PreconditionFailed" in str(error) or "pre-conditions" in str(error):
                return False
            raise
        return True

    def read(self) -> bytes:
        """As `Beside` says."""
        with contextlib.suppress(AttributeError):
            self.files.invalidate_cache()
        try:
            return bytes(self.files.cat_file(self.path))
        except FileNotFoundError:
            return b""

    def write(self, data: bytes) -> None:
        """As `Beside` says."""
        if isinstance(self.files, LocalFileSystem):
            os.replace(self._written(data), self.path)
        else:
            self.files.pipe_file(self.path, data)

    def remove(self) -> None:
        """As `Beside` says."""
        with contextlib.suppress(FileNotFoundError):
            self.files.rm_file(self.path)

    def _written(self, data: bytes) -> str:
        os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
        own = f"{self.path}.{uuid.uuid4().hex}"
        try:
            with open(own, "wb") as file:
                file.write(data)
        except OSError:
            with contextlib.suppress(OSError):  # a full disk keeps no half
                os.unlink(own)
            raise
        return own


@dataclasses.dataclass(frozen=True)
class ObstoreBeside:
    """Through obstore.

    Parameters
    ----------
    store : obstore.store.ObjectStore
        The folder it lies in.
    key : str
        Its name there.
    """

    store: Any
    key: str

    def create(self, data: bytes) -> bool:
        """As `Beside` says."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            obstore.put(self.store, self.key, data, mode="create")
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    def read(self) -> bytes:
        """As `Beside` says."""
        import obstore

        try:
            return bytes(obstore.get(self.store, self.key).bytes())
        except FileNotFoundError:
            return b""

    def write(self, data: bytes) -> None:
        """As `Beside` says."""
        import obstore

        obstore.put(self.store, self.key, data)

    def remove(self) -> None:
        """As `Beside` says."""
        import obstore

        with contextlib.suppress(FileNotFoundError):
            obstore.delete(self.store, self.key)
