"""Writing files so that neither a crash nor a loss of power leaves half of one."""

import os
from pathlib import Path


def write_safely(target: Path, content: bytes) -> None:
    """Write a file that is whole and on the disk when this returns, or not there at all; blocks for milliseconds.

    It is written beside its final place, flushed and renamed. Its folder is made. Raises OSError when the disk is full
    or not writable.
    """
    make_folder(target.parent)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        # Personal data: for the service's own user only.
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    _sync_folder(target.parent)


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
