"""Image files as one array of bytes."""

import io
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.conversion import check_size
from gossipfl.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_GRAY, _COLOR = {"1", "L"}, {"RGB", "P", "CMYK", "YCbCr"}
_ALPHA = {"RGBA", "LA", "PA"}
_ORIENTATION = 0x0112  # the tag of EXIF; 1 is upright
_T = TypeVar("_T")


def as_images(
    files: Sequence[Path | bytes], what: Callable[[int], str], name: str, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], list[str]]:
    """Images, by path or content, as uint8 [N, height, width, 1] if all are grey, else [..., 3], and notes.

    With a `size` = (height, width) they are brought to it by bilinear interpolation; `what` names the image of a number
    in errors.

    Raises DataError when Pillow is missing, or an image cannot be read, has 16 bits, or differs in size.
    """
    try:
        import PIL.Image  # late: an extra
    except ModuleNotFoundError as error:
        raise DataError(f"{name} needs Pillow to read images: pip install 'gossipfl[images]'") from error
    heads = [_opened(file, what(number), _head) for number, file in enumerate(files)]
    for number, (mode, _, _) in enumerate(heads):
        if mode not in _GRAY | _COLOR | _ALPHA:
            raise DataError(f"{what(number)} has pixels of mode {mode}, which 8 bits do not hold: convert it")
    sizes = Counter(size for _, size, _ in heads)
    if size is None and len(sizes) > 1:
        most = sizes.most_common(1)[0][0]
        other = next(number for number, head in enumerate(heads) if head[1] != most)
        raise DataError(
            f"{name}: images must have one size; most have {_by(most)}, and {what(other)} has {_by(heads[other][1])}: "
            "give data.image_size = [height, width], to which all are brought"
        )
    height, width = size or next(iter(sizes))
    mode = "L" if all(mode in _GRAY for mode, _, _ in heads) else "RGB"
    shape = (len(files), height, width, 1 if mode == "L" else 3)
    check_size(shape, name, itemsize=1)
    images = np.empty(shape, np.uint8)

    def pixels(image: "Image") -> NDArray[np.uint8]:
        converted = image.convert(mode)
        if converted.size != (width, height):
            converted = converted.resize((width, height), PIL.Image.Resampling.BILINEAR)
        return np.asarray(converted).reshape(shape[1:])

    for number, file in enumerate(files):
        images[number] = _opened(file, what(number), pixels)
    return images, _notes(heads, (height, width), mode)


def _opened(file: Path | bytes, what: str, look: "Callable[[Image], _T]") -> _T:
    """The result of `look` at an opened image; whatever is wrong with its file is a DataError."""
    import PIL.Image

    damage = (OSError, SyntaxError, ValueError, TypeError, IndexError, EOFError, struct.error, zlib.error)
    bombs = (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, on metadata
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(file if isinstance(file, Path) else io.BytesIO(file)) as image:
                return look(image)
    except (*damage, *bombs) as error:
        raise DataError(f"{what} is not a readable image: {str(error)[:200]}") from error


def _head(image: "Image") -> tuple[str, tuple[int, int], bool]:
    """Mode, (height, width), and True if it is to be turned before it is shown."""
    return image.mode, (image.height, image.width), image.getexif().get(_ORIENTATION, 1) != 1


def _notes(heads: Sequence[tuple[str, tuple[int, int], bool]], size: tuple[int, int], mode: str) -> list[str]:
    counts = {
        f"were brought to {_by(size)} from sizes of their own": sum(head[1] != size for head in heads),
        "are grey and have three equal channels now, as others have colors": sum(
            head[0] in _GRAY | {"LA"} for head in heads if mode == "RGB"
        ),
        "have transparency, which is left out": sum(head[0] in _ALPHA for head in heads),
        "are marked as to be turned (EXIF), which is not done": sum(head[2] for head in heads),
    }
    return [f"{count:,} of {len(heads):,} images {what}" for what, count in counts.items() if count]


def _by(size: tuple[Any, Any]) -> str:
    return f"{size[0]}x{size[1]}"
