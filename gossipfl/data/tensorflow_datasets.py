"""Sets of tensorflow-datasets: prepared ones are read offline, others are fetched on request, within bounded time.

TensorFlow itself is imported only when examples are read or fetched, so asking for a set that is not there stays fast.
"""

import contextlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossipfl.data.bounded_network import bounded_network
from gossipfl.data.conversion import as_labels, check_size
from gossipfl.data.dataset import Dataset
from gossipfl.data.held_out import split_dataset
from gossipfl.errors import DataError
from gossipfl.names.spelling import did_you_mean


def load_tfds(
    tfds_name: str,
    name: str,
    download: bool,
    data_dir: Path | None,
    test_fraction: float,
    generator: np.random.Generator,
) -> Dataset:
    """The `train` and `test` splits of a set with integer labels, in file order: `train[:10%]` is the first tenth.

    Features are one array (images, vectors), or the columns of a table, stacked in the order of their names. A set
    without a `test` split has a stratified `test_fraction` of `train` held out.

    Raises DataError when the set is unknown, is not prepared and not to be downloaded, cannot be fetched, or is not a
    classification task on numbers of one shape.
    """
    builder = _builder(tfds_name, name, data_dir)
    if not _is_prepared(builder):
        if not download:
            raise DataError(
                f"{name} is not prepared in {builder.data_dir}. Run again with --download (download=True) to fetch "
                f"{_download_size(builder)}, or give the data_dir (environment variable TFDS_DATA_DIR) that has it"
            )
        _download(builder, name)
        if not _is_prepared(builder):
            raise DataError(f"{name}: {builder.data_dir} is there, but is not a prepared set: remove it and run again")
    task = _Task.of(builder, name)
    if "train" not in builder.info.splits:
        raise DataError(f"{name} has no 'train' split, only {', '.join(sorted(builder.info.splits)) or 'none'}")
    train_x, train_y = _read(builder, "train", task, name)
    if "test" not in builder.info.splits:
        return split_dataset(name, (train_x, train_y), test_fraction, generator, task.num_classes)
    return Dataset.from_arrays(name, (train_x, train_y), _read(builder, "test", task, name), task.num_classes)


def _builder(tfds_name: str, name: str, data_dir: Path | None) -> Any:
    import tensorflow_datasets as tfds
    from google.protobuf.json_format import ParseError  # type: ignore[import-untyped, unused-ignore]

    if not re.fullmatch(r"\w+(/[\w.\-]+)*(:[\d.]+)?", tfds_name):
        raise DataError(f"{name}: expected tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION, without a namespace")
    try:
        return tfds.builder(tfds_name, data_dir=data_dir and data_dir.expanduser())
    except tfds.core.DatasetNotFoundError:
        wanted = re.split(r"[/:]", tfds_name)[0]
        hint = did_you_mean(wanted, tfds.list_builders(with_community_datasets=False), before="tfds:")
        raise DataError(f"{name}: tensorflow-datasets {tfds.__version__} has no set {wanted!r}.{hint}") from None
    except (ValueError, AssertionError, RuntimeError, ImportError, OSError, ParseError) as error:
        # no such configuration or version, a package that the set needs, damaged metadata
        raise DataError(f"{name} cannot be opened by tensorflow-datasets: {_summary(error)}") from error


def _is_prepared(builder: Any) -> bool:
    return (Path(builder.data_dir) / "dataset_info.json").is_file()


def _download_size(builder: Any) -> str:
    sizes = [int(url.size) for url in (builder.url_infos or {}).values()]
    return f"about {max(1, round(sum(sizes) / 2**20))} MiB" if sizes else "it"


def _download(builder: Any, name: str) -> None:
    import requests
    import tensorflow as tf
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(try_download_gcs=False)
    network_errors = (requests.RequestException, tfds.download.DownloadError, tf.errors.OpError, OSError)
    try:
        # tensorflow-datasets prints to standard output, which belongs to the results of a command
        with contextlib.redirect_stdout(sys.stderr), bounded_network():
            builder.download_and_prepare(download_config=config)
    except network_errors as error:
        raise DataError(
            f"{name} could not be downloaded: {_summary(error)}. Check the network, or prepare the set on another "
            f"machine and copy it to {builder.data_dir}"
        ) from error
    except (tfds.download.NonMatchingChecksumError, AssertionError, ValueError, RuntimeError, ImportError) as error:
        # the archive has changed, is to be fetched by hand, or needs a package that is not installed
        raise DataError(f"{name} could not be prepared by tensorflow-datasets: {_summary(error)}") from error


@dataclass(frozen=True)
class _Task:
    """Which features are the input, each by its path in the examples, and which one is the label."""

    columns: tuple[tuple[str, ...], ...]
    is_table: bool
    label: str
    num_classes: int | None

    @classmethod
    def of(cls, builder: Any, name: str) -> "_Task":
        """The classification task that a set declares; DataError with the reason when it is not one on numbers."""
        keys, features = builder.info.supervised_keys, builder.info.features
        if not keys or len(keys) != 2 or not isinstance(keys[0], str | dict) or not isinstance(keys[1], str):
            raise DataError(f"{name} does not declare one input and one label; its features: {', '.join(features)}")
        inputs, label = keys
        if isinstance(inputs, dict):
            columns: list[tuple[str, ...]] = [(str(column),) for column in sorted(inputs.values())]
        elif isinstance(features[inputs].shape, dict):
            columns = [(inputs, column) for column in sorted(features[inputs])]
        else:
            columns = [(inputs,)]
        if features[label].shape != () or np.dtype(features[label].np_dtype).kind not in "biu":
            raise DataError(
                f"{name} is not a classification task: its label {label!r} has shape {features[label].shape} and dtype "
                f"{features[label].np_dtype}, expected one integer"
            )
        task = cls(tuple(columns), columns != [(inputs,)], label, getattr(features[label], "num_classes", None))
        task._check(builder, name)
        return task

    def _check(self, builder: Any, name: str) -> None:
        remedy = "encode them in a function of yours and name it as the source package.module:function"
        leaves = {"/".join(path): _at(builder.info.features, path) for path in self.columns}
        nested = [column for column, leaf in leaves.items() if isinstance(leaf.shape, dict)]
        if nested:
            raise DataError(f"{name}: the features {', '.join(nested)} are nested; {remedy}")
        strings = [column for column, leaf in leaves.items() if np.dtype(leaf.np_dtype).kind not in "biuf"]
        if strings:
            raise DataError(f"{name}: the features {', '.join(strings)} are not numbers but strings; {remedy}")
        ragged = [
            column for column, leaf in leaves.items() if None in leaf.shape or (self.is_table and len(leaf.shape) > 1)
        ]
        if ragged:
            raise DataError(
                f"{name}: examples must have one shape, got {', '.join(f'{c} {leaves[c].shape}' for c in ragged)}; "
                "resize them in a function of yours and name it as the source package.module:function"
            )
        num_examples = max((split.num_examples for split in builder.info.splits.values()), default=0)
        for column, leaf in leaves.items():
            check_size((num_examples, *leaf.shape), f"{name}: feature {column}")


def _read(builder: Any, split: str, task: _Task, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    wanted = {path[0]: True for path in task.columns} | {task.label: True}
    try:
        examples = tfds.as_numpy(
            builder.as_dataset(
                split=split,
                batch_size=-1,
                decoders=tfds.decode.PartialDecoding(wanted),
                # one file after the other, so that index i here is index i of tfds's sub-splits
                read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
            )
        )
    except (tf.errors.OpError, OSError, AssertionError, ValueError) as error:
        raise DataError(f"{name}: the files in {builder.data_dir} cannot be read: {_summary(error)}") from error
    labels = as_labels(examples[task.label], f"{name}: {split} labels")
    columns = [_at(examples, path) for path in task.columns]
    if not task.is_table:
        return columns[0], labels
    return np.concatenate([column.reshape(len(labels), -1).astype(np.float32) for column in columns], axis=1), labels


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _summary(error: BaseException) -> str:
    """The first line of an error that says something; tensorflow-datasets adds pages of advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:400] if lines else type(error).__name__
