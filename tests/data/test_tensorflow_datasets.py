"""The real tensorflow-datasets path, on small sets that are generated here; no network is used."""

import http.server
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossipfl.data import tensorflow_datasets as module
from gossipfl.data.dataset import Dataset
from gossipfl.data.reading import Reading
from gossipfl.data.sources import load
from gossipfl.errors import DataError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NUM_TRAIN, NUM_TEST = 50, 10


def image(i: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((4, 4, 1), 5 * i, np.uint8)


@pytest.fixture(scope="module")
def builders() -> dict[str, Callable[[], Any]]:
    """Builder classes by name; defining one registers it with tensorflow-datasets."""
    import tensorflow_datasets as tfds

    F = tfds.features

    def define(
        name: str, features: dict[str, Any], supervised: Any, example: Callable[[int], Any], **options: Any
    ) -> Any:
        splits = options.get("splits", {"train": NUM_TRAIN, "test": NUM_TEST})

        def info(self: Any) -> Any:
            return self.dataset_info_from_configs(features=F.FeaturesDict(features), supervised_keys=supervised)

        def split_generators(self: Any, dl_manager: Any) -> Any:
            if "url" in options:
                dl_manager.download(options["url"]())
            return {split: self._generate_examples(size) for split, size in splits.items()}

        def generate_examples(self: Any, size: int) -> Any:
            return ((i, example(i)) for i in range(size))

        return type(
            name,
            (tfds.core.GeneratorBasedBuilder,),
            {
                "VERSION": tfds.core.Version("1.0.0"),
                "__module__": __name__,
                "pkg_dir_path": Path(__file__).parent,
                "_info": info,
                "_split_generators": split_generators,
                "_generate_examples": generate_examples,
            },
        )

    label = F.ClassLabel(num_classes=3)
    images = {"image": F.Image(shape=(4, 4, 1)), "label": label, "note": F.Text()}

    def image_example(i: int) -> dict[str, Any]:
        return {"image": image(i), "label": i % 3, "note": "unused"}

    table = {"b": F.Scalar(np.int64), "a": F.Tensor(shape=(2,), dtype=np.float32), "sex": F.ClassLabel(num_classes=2)}

    def row(i: int) -> dict[str, Any]:
        return {"b": 100 + i, "a": [i, -i], "sex": i % 2, "label": i % 3}

    pair = ("image", "label")
    word = {"x": F.Text(), "y": F.Scalar(np.float32), "label": label}
    defined = [
        define("GossipImages", images, pair, image_example),
        define("GossipUnsplit", images, pair, image_example, splits={"train": NUM_TRAIN}),
        define("GossipTestless", images, pair, image_example, splits={"other": NUM_TRAIN}),
        define("GossipTable", table | {"label": label}, ({k: k for k in table}, "label"), row),
        define(
            "GossipNested",
            {"f": F.FeaturesDict(table), "label": label},
            ("f", "label"),
            lambda i: {"f": {k: row(i)[k] for k in table}, "label": i % 3},
        ),
        define("GossipStrings", word, ({"x": "x", "y": "y"}, "label"), lambda i: {"x": "a", "y": 1.0, "label": 0}),
        define("GossipRegression", word, ("label", "y"), lambda i: {"x": "ab"[i % 2], "y": i + 0.5, "label": i % 3}),
        define("GossipUnsupervised", images, None, image_example),
        define("GossipRagged", images | {"image": F.Image(shape=(None, 4, 1))}, pair, image_example),
        define("GossipMissing", {"x": F.Tensor(shape=(2,), dtype=np.float32), "label": label}, ("x", "label"),
               lambda i: {"x": [np.nan, 0], "label": i % 3}),
        define("GossipFetched", images, pair, image_example, url=lambda: URL[0]),
    ]  # fmt: skip
    return {cls.name: cls for cls in defined}


URL = [""]


@pytest.fixture
def prepared(builders: dict[str, Any], tmp_path: Path) -> Callable[[str], Dataset]:
    """Prepare a set in tmp_path, then load it as a user would."""

    import tensorflow_datasets as tfds

    in_three_files = tfds.download.DownloadConfig(num_shards=3)

    def prepare(name: str) -> Dataset:
        builders[name](data_dir=tmp_path).download_and_prepare(download_config=in_three_files)
        return load(f"tfds:{name}", data_dir=tmp_path)

    return prepare


def test_images_are_read_in_file_order(prepared: Callable[[str], Dataset], tmp_path: Path) -> None:
    import tensorflow_datasets as tfds

    dataset = prepared("gossip_images")
    assert dataset.train.x.shape == (NUM_TRAIN, 4, 4, 1)
    assert dataset.test.x.shape == (NUM_TEST, 4, 4, 1)
    assert dataset.num_classes == 3
    numbers = dataset.train.x[:, 0, 0, 0].astype(int) // 5
    assert sorted(numbers) == list(range(NUM_TRAIN))
    assert np.array_equal(dataset.train.y, numbers % 3)
    tenth = tfds.load("gossip_images", split="train[10%:20%]", data_dir=tmp_path, download=False)
    expected = [int(example["image"][0, 0, 0]) // 5 for example in tfds.as_numpy(tenth)]
    assert numbers[5:10].tolist() == expected


def test_a_set_without_a_test_split_is_split_by_the_seed(prepared: Callable[[str], Dataset], tmp_path: Path) -> None:
    dataset = prepared("gossip_unsplit")
    assert (len(dataset.train.y), len(dataset.test.y)) == (40, 10)
    assert load("tfds:gossip_unsplit", data_dir=tmp_path).digest == dataset.digest
    assert load("tfds:gossip_unsplit", data_dir=tmp_path, seed=1).digest != dataset.digest


@pytest.mark.parametrize("name", ["gossip_table", "gossip_nested"])
def test_columns_are_stacked_in_the_order_of_their_names(prepared: Callable[[str], Dataset], name: str) -> None:
    dataset = prepared(name)
    assert dataset.input_shape == (4,)
    i = dataset.train.x[:, 0]
    assert np.array_equal(dataset.train.x, np.stack([i, -i, 100 + i, i % 2], axis=1))
    assert np.array_equal(dataset.train.y, i % 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gossip_strings", r"column 'x' has strings \('a' in row 1\): leave it out, or name it in"),
        (
            "gossip_unsupervised",
            "does not declare one input and one target: .* features: image, label, note",
        ),
        ("gossip_ragged", r"examples must have one shape, got image \(None, 4, 1\); resize them"),
        ("gossip_missing", "x must be finite: example 0 is the first of 50"),
        ("gossip_testless", "has no 'train' split, only other"),
    ],
)
def test_sets_that_do_not_fit_are_refused_with_the_reason(
    prepared: Callable[[str], Dataset], name: str, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        prepared(name)


def test_any_features_may_be_inputs_and_targets(
    prepared: Callable[..., Dataset], builders: dict[str, Any], tmp_path: Path
) -> None:
    regression = prepared("gossip_regression")
    assert regression.num_classes is None
    assert regression.train.y.dtype == np.float32
    assert regression.notes[0] == "tfds:gossip_regression: features that are not used: x"
    reading = Reading({"y": "y", "label": "label"}, "x")
    words = load("tfds:gossip_regression", data_dir=tmp_path, reading=reading)
    assert {name: array.dtype for name, array in words.train.x.items()} == {"y": np.float32, "label": np.int64}
    assert words.class_names == ("a", "b")
    builders["gossip_unsupervised"](data_dir=tmp_path).download_and_prepare()
    images = load("tfds:gossip_unsupervised", data_dir=tmp_path, reading=Reading("image", "image"))
    assert images.train.x.dtype == np.uint8
    assert np.array_equal(images.train.y, images.train.x / np.float32(255))


def test_sizes_are_checked_before_reading(prepared: Callable[[str], Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossipfl.data.conversion.MAX_FEATURE_BYTES", 1000)
    monkeypatch.setattr(module, "_read", lambda *_: pytest.fail("was read"))
    with pytest.raises(DataError, match=r"feature image of shape \(50, 4, 4, 1\) would take"):
        prepared("gossip_images")


def test_damaged_files_are_data_errors(prepared: Callable[[str], Dataset], tmp_path: Path) -> None:
    prepared("gossip_images")
    directory = tmp_path / "gossip_images" / "1.0.0"
    for record in directory.glob("*.tfrecord*"):
        record.write_bytes(record.read_bytes()[:-9] + b"damage!!!")
    with pytest.raises(DataError, match="cannot be read"):
        load("tfds:gossip_images", data_dir=tmp_path)
    (directory / "dataset_info.json").write_text("{")
    with pytest.raises(DataError, match="cannot be opened"):
        load("tfds:gossip_images", data_dir=tmp_path)


def test_a_set_that_is_not_prepared_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load("tfds:kmnist", data_dir=tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "kmnist" / "3.0.1") in message
    assert "--download" in message
    assert "about 20 MiB" in message
    assert "TFDS_DATA_DIR" in message


def test_a_folder_that_is_in_the_way_is_named(builders: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "gossip_images" / "1.0.0").mkdir(parents=True)
    with pytest.raises(DataError, match="is there, but is not a prepared set: remove it"):
        load("tfds:gossip_images", download=True, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kmnits", "has no set 'kmnits'. Did you mean 'tfds:kmnist'"),
        ("emnist/leters", "BuilderConfig leters not found"),
        ("mnist:9.9.9", "cannot be loaded at version 9.9.9"),
        ("huggingface:mnist", "without a namespace"),
        ("../mnist", "without a namespace"),
        ("mnist data", "expected tfds:NAME"),
    ],
)
def test_wrong_names_are_data_errors(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(f"tfds:{name}", data_dir=tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "archive.txt").write_text("archive")
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(tmp_path))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_a_set_is_fetched_on_request(
    builders: dict[str, Any],
    tmp_path: Path,
    server: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    URL[0] = f"{server}/archive.txt"
    dataset = load("tfds:gossip_fetched", download=True, data_dir=tmp_path / "sets")
    assert len(dataset.train.y) == NUM_TRAIN
    assert capsys.readouterr().out == ""
    assert load("tfds:gossip_fetched", data_dir=tmp_path / "sets").digest == dataset.digest


@pytest.mark.parametrize("path", ["http://127.0.0.1:1/refused", "http://nothing.invalid/unknown", "{server}/missing"])
def test_a_failed_download_ends_soon_in_a_data_error(
    builders: dict[str, Any], tmp_path: Path, server: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    URL[0] = path.format(server=server)
    with pytest.raises(DataError, match=r"could not be downloaded: .*Check the network, or prepare the set on another"):
        load("tfds:gossip_fetched", download=True, data_dir=tmp_path / "sets")
