"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from gossipfl.errors import ConfigurationError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the block ends, and is gone when it fails."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)  # a process was killed; or a link came with a directory from elsewhere
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a text file beside its place, then rename it: whoever reads `path` finds the old text or the new one."""
    with whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def durable(path: Path) -> Iterator[BinaryIO]:
    """A file to write, that is on disk and in the place of `path` when the block ends, whatever happens to the host.

    Other users of the host cannot read it (mode 600).
    """
    with whole(path) as unfinished, open(unfinished, "wb", opener=_for_its_owner) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    directory = os.open(path.parent, os.O_RDONLY)  # a rename is on disk when its directory is
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextmanager
def kept_for_this_process(directory: Path) -> Iterator[None]:
    """Keep other processes out of a directory, as far as they ask in the same way; where the system has such locks.

    Raises ConfigurationError when another process has it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    lock = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"another process is at work in {directory.parent}; wait for its end, or give another directory"
            ) from error
        yield
    finally:
        os.close(lock)
