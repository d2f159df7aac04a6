"""Writing files so that neither a crash nor a loss of power leaves half of one, and folders of such files."""

import os
from datetime import datetime
from pathlib import Path
from typing import Self


class Store:
    """A folder of files as `YYYY/MM/<name>`, whose paths below it are kept in rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, relative: str) -> Path:
        """Where a kept file is. Raises ValueError for a path that is not below the folder."""
        path = self.folder / relative
        if not relative or not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"not in the folder of {self.folder.name}: {relative!r}")
        return path

    def erase(self, relative: str) -> None:
        """Delete a file for good; it may be gone already. Raises ValueError for a path outside the folder, OSError."""
        self.path_of(relative).unlink(missing_ok=True)

    def files(self, before: datetime) -> list[str]:
        """The files made before a time, as paths below the folder; those that no row names are left of a crash."""
        found = (path for path in self.folder.glob("*/*/*") if path.is_file())
        return [str(path.relative_to(self.folder)) for path in found if path.stat().st_mtime < before.timestamp()]


class SafeWriter:
    """Writes a file piece by piece, beside its final place; use as a context manager. Each step blocks for a moment.

    After `finish` it is whole, on the disk and in its place; left without, it is not there at all. Its folder is made.
    Raises OSError when the disk is full or not writable.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self._partial = target.with_name(f".{target.name}.{os.getpid()}.part")

    def __enter__(self) -> Self:
        make_folder(self.target.parent)
        # Personal data: for the service's own user only.
        self._file = open(os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        return self

    def write(self, piece: bytes) -> None:
        """Write one more piece."""
        self._file.write(piece)

    def finish(self) -> None:
        """Flush it to the disk and put it in its place."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._partial.replace(self.target)
        _sync_folder(self.target.parent)

    def __exit__(self, *exc: object) -> None:
        try:
            self._file.close()
        finally:
            self._partial.unlink(missing_ok=True)


def write_safely(target: Path, content: bytes) -> None:
    """Write a file that is whole and on the disk when this returns, or not there at all; blocks for milliseconds.

    It is written beside its final place, flushed and renamed. Its folder is made. Raises OSError when the disk is full
    or not writable.
    """
    with SafeWriter(target) as writer:
        writer.write(content)
        writer.finish()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, for the service's own user and group, where they are not there yet."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    for made in missing:
        _sync_folder(made.parent)


def _sync_folder(folder: Path) -> None:
    # Without this a rename may be forgotten when the machine loses power.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
