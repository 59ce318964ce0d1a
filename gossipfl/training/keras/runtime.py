"""The TensorFlow process that slots need: one thread per operation, because the cores belong to different peers.

With several threads per operation every measured training was slower, and results depend on their number. TensorFlow
takes thread counts only before its first operation.
"""

import os
import random
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common.global_state import get_global_attribute, set_global_attribute
from tensorflow.python.eager.context import function_executor_type
from tensorflow.python.framework.config import is_op_determinism_enabled

from gossipfl.errors import ConfigurationError

_SEEDING = threading.RLock()

_NUMBERS = "object_name_uids"
"""Where Keras counts the names that it gives."""


def use_slots(num_slots: int) -> None:
    """Ask TensorFlow for one thread per operation and `num_slots` operations at a time.

    Where TensorFlow has run an operation before, its thread counts stay as they are; `runtime_flags` tells.
    Raises ConfigurationError when Keras runs on another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigurationError(
            f"Keras runs on the backend {keras.backend.backend()!r}, expected 'tensorflow'; unset KERAS_BACKEND"
        )
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(num_slots)
    except RuntimeError:  # TensorFlow is initialised already
        return


def on_one_thread() -> AbstractContextManager[None]:
    """Graphs that are traced and called in this context run in the calling thread, one operation after the other.

    TensorFlow's default executor hands operations to each other through queues, which costs more than a small operation
    itself: a step of a softmax took 252 microseconds with it and 196 without, of a large convolution the same. The
    results are the same bits.
    """
    return function_executor_type("SINGLE_THREADED_EXECUTOR")  # type: ignore[no-any-return]


def fits_one_thread(traced: Any) -> bool:
    """True if a traced graph calls no functions but the bodies of loops: a conditional would wait for its branch, and
    its branch for the thread."""
    graph = traced.graph.as_graph_def()
    nodes = chain(graph.node, *(function.node_def for function in graph.library.function))
    return all(
        node.op in ("While", "StatelessWhile")
        or not any(value.HasField("func") or value.list.func for value in node.attr.values())
        for node in nodes
    )


def runtime_flags() -> Mapping[str, str | int | bool]:
    """All in force that can change results or speed, for a run's manifest; 0 threads means TensorFlow's choice."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "float_type": keras.config.floatx(),
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "one_dnn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "op_determinism": bool(is_op_determinism_enabled()),
        "num_gpus": len(tf.config.list_physical_devices("GPU")),
    }


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed Python, NumPy, TensorFlow and Keras while a model is built; Python's and NumPy's states are put back.

    So are the numbers that Keras has given to layers without a name: models of one function, by whose names weights are
    saved and read, have the same ones. One thread at a time: seeds are those of the process.
    """
    with _SEEDING:
        python_state = random.getstate()
        numpy_state = np.random.get_state()  # noqa: NPY002
        numbers = get_global_attribute(_NUMBERS, defaultdict(int))
        set_global_attribute(_NUMBERS, numbers.copy())
        keras.utils.set_random_seed(seed % 2**32)
        try:
            yield
        finally:
            set_global_attribute(_NUMBERS, numbers)
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
