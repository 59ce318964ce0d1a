"""Feature skew: a copy of the inputs in which each peer's are turned, or noisy."""

import numpy as np
import pytest

from gossipfl.data.examples import Examples
from gossipfl.data.skew import View, skewed, views_of
from gossipfl.errors import ConfigurationError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1)).astype(np.uint8)
SHARES = {"a": np.array([0, 3]), "b": np.array([1, 4])}  # nobody holds 2 and 5


def seen(x, views, part="train", shares=SHARES, seed=7):
    return skewed(Examples(x), shares, views, seed, part).x


@pytest.mark.parametrize("turns", [1, 2, 3, -1, 5])
@pytest.mark.parametrize("images", [IMAGES, IMAGES[..., 0].astype(np.float32) / 3], ids=["bytes", "floats"])
def test_quarter_turns_are_exact(images, turns):
    turned = seen(images, {"a": View(), "b": View(90.0 * turns)})
    assert turned.dtype == images.dtype
    for example, image in enumerate(images):
        expected = np.rot90(image, turns) if example in SHARES["b"] else image
        np.testing.assert_array_equal(turned[example], expected)


def test_another_angle_is_between_two_quarter_turns():
    images = np.zeros((1, 9, 9), np.float32)
    images[0, 4, 6:8] = 1  # to the right of the middle
    turned = seen(images, {"a": View(45)}, shares={"a": np.array([0])})[0]
    rows, columns = np.nonzero(turned > 0.3)
    assert (rows < 4).all()  # counterclockwise: above it
    assert (columns > 4).all()
    assert seen(IMAGES, {"a": View(45), "b": View()}).dtype == np.uint8


def test_noise_has_the_level_of_its_peer_and_makes_floats_of_bytes():
    images = np.full((4000, 4, 4, 1), 51, np.uint8)
    shares = {"a": np.arange(1000), "b": np.arange(1000, 3000)}
    noisy = seen(images, {"a": View(), "b": View(noise=0.5)}, shares=shares)
    assert noisy.dtype == np.float32
    plain = np.float32(51) / np.float32(255)
    assert (noisy[:1000] == plain).all()
    assert (noisy[3000:] == plain).all()
    noise = noisy[1000:3000] - plain
    assert abs(noise.std() - 0.5) < 0.01
    assert abs(noise.mean()) < 0.01


def test_the_same_seed_gives_the_same_noise_and_every_part_and_peer_another():
    x, views = np.zeros((6, 3), np.float32), {"a": View(noise=1), "b": View(noise=1)}
    one = seen(x, views)
    np.testing.assert_array_equal(one, seen(x, views))
    np.testing.assert_array_equal(one[SHARES["a"]], seen(x, {"a": View(noise=1), "b": View()})[SHARES["a"]])
    for other in (seen(x, views, part="test"), seen(x, views, seed=8)):
        assert not np.isin(one[SHARES["a"]], other).any()
    assert not np.isin(one[SHARES["a"]], one[SHARES["b"]]).any()


def test_views_are_dealt_evenly_and_by_the_seed():
    peers = [str(peer) for peer in range(10)]
    views = views_of(peers, [0, 90, 180, 270], [0.0, 0.5], 3)
    assert sorted(view.rotation for view in views.values()) == [0, 0, 0, 90, 90, 90, 180, 180, 270, 270]
    assert sorted(view.noise for view in views.values()) == [0.0] * 5 + [0.5] * 5
    assert views == views_of(peers, [0, 90, 180, 270], [0.0, 0.5], 3)
    assert views != views_of(peers, [0, 90, 180, 270], [0.0, 0.5], 4)


@pytest.mark.parametrize(
    ("x", "view", "words"),
    [
        (np.zeros((6, 5)), View(90), r"square images .* has the shape \(5,\)"),
        (np.zeros((6, 3, 4)), View(180), r"has the shape \(3, 4\)"),
        ((np.zeros((6, 4)), np.zeros((6, 4))), View(90), "single input array, and the model gets a tuple"),
        (np.zeros((6, 5), np.int64), View(noise=0.1), "the inputs are int64"),
    ],
)
def test_what_cannot_be_skewed_is_named(x, view, words):
    with pytest.raises(ConfigurationError, match=words):
        seen(x, {"a": View(), "b": view})
