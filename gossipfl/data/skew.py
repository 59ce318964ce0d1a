"""Feature skew: peers hold the same kind of examples, and see them turned, or through noise of their own.

A peer's examples are changed once, in a copy of the data that peers index as before: training costs nothing more, and
memory a second copy of the inputs. What is held out is changed as that of the peer which would hold it
(`gossipfl.data.shares`); so all of it together is the mixture that all peers meet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.conversion import is_image, model_inputs
from gossipfl.data.deck import Indices
from gossipfl.data.examples import Examples
from gossipfl.errors import ConfigurationError
from gossipfl.randomness import generator
from gossipfl.weights import PeerId


@dataclass(frozen=True, slots=True)
class View:
    """The way in which one peer sees its examples: turned counterclockwise by `rotation` degrees, and with Gaussian
    noise of the standard deviation `noise`, in units of what the model gets (of images, which are within [0, 1])."""

    rotation: float = 0.0
    noise: float = 0.0


def views_of(
    peers: Sequence[PeerId], rotations: Sequence[float], noise: Sequence[float], seed: int
) -> Mapping[PeerId, View]:
    """The view of each peer. Each list is dealt at random, every value to equally many peers, up to one."""
    dealt = [
        _dealt(values or (0.0,), len(peers), generator(seed, "skew", name))
        for name, values in (("rotations", rotations), ("noise", noise))
    ]
    return {peer: View(*view) for peer, *view in zip(peers, *dealt, strict=True)}


def _dealt(values: Sequence[float], number: int, draw: np.random.Generator) -> list[float]:
    return [values[k % len(values)] for k in draw.permutation(number).tolist()]


def skewed(
    examples: Examples, shares: Mapping[PeerId, Indices], views: Mapping[PeerId, View], seed: int, part: str
) -> Examples:
    """The examples as the peers see them that hold the `shares`; those that nobody holds stay as they are.

    Quarter turns are exact; any other angle interpolates linearly between pixels, and fills corners with 0. With noise,
    bytes become float32(x) / 255. The noise is drawn from `seed`, the name of the `part` and the peer.

    Raises ConfigurationError when the inputs cannot be turned, or take no noise.
    """
    x = examples.x
    if not isinstance(x, np.ndarray):
        raise ConfigurationError(
            f"data.skew needs a single input array, and the model gets a {type(x).__name__} of them"
        )
    is_noisy = any(view.noise for view in views.values())
    turned = _turnable(x) if any(view.rotation % 360 for view in views.values()) else x
    if is_noisy and is_image(x):
        seen = model_inputs(turned)
    elif is_noisy and x.dtype.kind != "f":
        raise ConfigurationError(f"data.skew.noise needs numbers with a fraction, and the inputs are {x.dtype}")
    else:
        seen = turned.copy()
    for peer, rows in shares.items():
        view = views[peer]
        if view.rotation % 360:
            seen[rows] = _rotated(seen[rows], view.rotation % 360)
        if view.noise:
            noise = generator(seed, "skew", part, peer).standard_normal(seen[rows].shape, np.float32)
            seen[rows] += np.float32(view.noise) * noise
    return replace(examples, x=seen)


def _turnable(x: NDArray[Any]) -> NDArray[Any]:
    if x.ndim not in (3, 4) or x.shape[1] != x.shape[2]:
        raise ConfigurationError(
            f"data.skew.rotations needs square images [examples, side, side] or [examples, side, side, channels], and "
            f"an example has the shape {x.shape[1:]}"
        )
    return x


def _rotated(images: NDArray[Any], angle: float) -> NDArray[Any]:
    if angle % 90 == 0:
        return np.rot90(images, int(angle // 90), axes=(1, 2))
    from scipy.ndimage import rotate  # late: it takes a quarter of a second

    turned = rotate(images.astype(np.float32), angle, axes=(1, 2), reshape=False, order=1)
    turned = np.rint(turned) if images.dtype.kind in "iu" else turned
    return np.asarray(turned, images.dtype)
