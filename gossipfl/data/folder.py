"""Images in folders: the name of a folder is the class of the images in it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gossipfl.data.examples import Examples
from gossipfl.data.images import as_images
from gossipfl.data.parts import PARTS, Parts
from gossipfl.errors import DataError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""The files that are taken for images."""


def read_folder(directory: Path, name: str, image_size: tuple[int, int] | None = None) -> Parts:
    """The images below `CLASS/`, or below `train/CLASS/`, `test/CLASS/` and `validation/CLASS/`, as uint8.

    Classes are numbered in the sorted order of their folders, images come in the sorted order of their files. They are
    [N, height, width, 1] if all are grey, else [N, height, width, 3]; of `image_size` = (height, width) they are made
    by bilinear interpolation, and without it all must have one size.

    Raises DataError when a folder or Pillow is missing, when images differ in size, or when one cannot be read.
    """
    directory = directory.expanduser()
    if not directory.is_dir():
        raise DataError(f"{name}: {directory} is not a directory; expected one with a folder of images per class")
    part_names = [part for part in PARTS if (directory / part).is_dir()] if (directory / "train").is_dir() else []
    notes: list[str] = []
    roots = [directory / part for part in part_names] or [directory]
    class_names = _folders(roots[0])
    if len(class_names) < 2:
        raise DataError(f"{name}: {roots[0]} has {len(class_names)} folders, expected one per class, at least two")
    found = [_files(root, class_names, name, notes) for root in roots]
    if part_names:
        _note_rest(directory, set(part_names), name, notes)
    files = [path for part in found for path, _ in part]
    images, more = as_images(files, lambda number: f"{name}: {files[number]}", name, image_size)
    labels = np.array([label for part in found for _, label in part], np.int32)
    ends = np.cumsum([len(part) for part in found])[:-1]
    parts = [Examples(x, y) for x, y in zip(np.split(images, ends), np.split(labels, ends), strict=True)]
    named = dict(zip(part_names or ["train"], parts, strict=True))
    seen = f"{len(files):,} images in {len(class_names)} classes, {'x'.join(map(str, images.shape[1:]))}"
    return Parts(named, len(class_names), class_names, (f"read as folders of images: {seen}", *more, *notes))


def _folders(root: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))


def _files(root: Path, class_names: Sequence[str], name: str, notes: list[str]) -> list[tuple[Path, int]]:
    """The images of a part with the numbers of their classes."""
    unknown = sorted(set(_folders(root)) - set(class_names))
    if unknown:
        raise DataError(f"{name}: {root} has the folder {unknown[0]!r}, and no training images are of that class")
    files = []
    for label, class_name in enumerate(class_names):
        folder = root / class_name
        if folder.is_dir():
            files += [(path, label) for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
            _note_rest(folder, {path.name for path, _ in files}, name, notes)
    _note_rest(root, set(class_names), name, notes)
    if not files:
        raise DataError(f"{name}: there are no images in the folders of {root}; expected {', '.join(sorted(SUFFIXES))}")
    return files


def _note_rest(folder: Path, used: set[str], name: str, notes: list[str]) -> None:
    rest = sorted(path.name for path in folder.iterdir() if path.name not in used)
    if rest:
        notes.append(f"not used in {folder.name}/: {len(rest)}, such as {rest[0]}")
