"""Formats of files, by number: what another version has written is refused in a sentence, never misread.

A file without a number is of format 0, the one from before there were numbers.
"""

from pathlib import Path

from gossipfl.errors import ConfigurationError


def check_format(path: Path, found: object, expected: int) -> None:
    """Raise ConfigurationError, naming both formats and the way on, unless a file is of the expected format."""
    if found != expected:
        raise ConfigurationError(
            f"{path} is of format {found}, and this version of gossipfl reads format {expected} only: go on with the "
            "version that wrote it, restore the file if it was damaged, or begin again in another directory; nothing "
            "was changed"
        )
