"""Finds the folders of data that come with gossipfl: `topologies` and `simulations`."""

from pathlib import Path

from gossipfl.errors import ConfigurationError

FOLDERS = ("simulations", "topologies")

_PACKAGE = Path(__file__).resolve().parents[1]


def folder(name: str) -> Path:
    """The folder with the files of `name` ("topologies" or "simulations"): beside the package in a checkout, in
    `gossipfl/_files` in an installed one.

    Raises ConfigurationError for another name, or when the installation lacks the folder.
    """
    if name not in FOLDERS:
        raise ConfigurationError(f"gossipfl has no folder {name!r}, only {' and '.join(FOLDERS)}")
    installed = _PACKAGE / "_files" / name
    if installed.is_dir():
        return installed
    checkout = _PACKAGE.parent
    # Any directory on the import path may hold a folder of this name; only one beside a project file counts.
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    raise ConfigurationError(
        f"the folder {name!r} is neither in {installed.parent} nor in a checkout at {checkout}: install gossipfl again"
    )


def names(folder_name: str, suffix: str = ".toml") -> list[str]:
    """Names, without `suffix`, of the files in a folder of gossipfl, in alphabetical order.

    Raises ConfigurationError as `folder` does.
    """
    return sorted(path.name.removesuffix(suffix) for path in folder(folder_name).glob(f"*{suffix}") if path.is_file())
