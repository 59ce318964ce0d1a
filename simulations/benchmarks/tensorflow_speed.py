"""How near does a round of FedAvg come to a loop that an expert writes in TensorFlow for one model?

    python simulations/benchmarks/tensorflow_speed.py [DIRECTORY]

By hand: the softmax of ten clients with its gradient written down, one graph per core that loops over its share of the
clients and their batches, without variables, optimizer, metrics, peers or messages. gossipfl runs the Keras model, with
metrics and all its bookkeeping. Both run in one process and take turns, so that a busy machine is busy for both; the
table has the best round of each. `difference` is the largest between the weights at the end. DIRECTORY: as in
`training_speed.py`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from fedavg_round import LEARNING_RATE, Federation, Work
from measuring import directory_of_images, in_own_process, print_table, timed


class HandWritten:
    """Multinomial logistic regression by gradient descent, w - lr x^T (softmax(x w + b) - y) / n, on all cores."""

    def __init__(self, work: Work) -> None:
        import tensorflow as tf

        from gossipfl.training.keras_runtime import available_cores

        data, num_cores = work.dataset, available_cores()
        self.weights = [np.zeros((28 * 28, 10), np.float32), np.zeros(10, np.float32)]
        self._x = tf.constant(data.train_x.reshape(len(data.train_x), -1))
        self._y = tf.one_hot(data.train_y, 10)
        self._work = work
        specs = [tf.TensorSpec(array.shape) for array in self.weights] + [tf.TensorSpec([], tf.int32)] * 2
        self._graphs = [
            tf.function(self._train, input_signature=specs, autograph=False).get_concrete_function()
            for _ in range(num_cores)
        ]
        self._threads = ThreadPoolExecutor(num_cores)

    def _train(self, kernel: Any, bias: Any, first_client: Any, end_client: Any) -> Any:
        """The sums of what the clients [first, end) end with."""
        import tensorflow as tf

        size, num_examples = self._work.batch_size, self._work.num_examples

        def train_batch(first: Any, end: Any, w: Any, b: Any) -> Any:
            x, y = tf.slice(self._x, [first, 0], [size, 28 * 28]), tf.slice(self._y, [first, 0], [size, 10])
            step = (tf.nn.softmax(tf.matmul(x, w) + b) - y) * (LEARNING_RATE / size)
            return first + size, end, w - tf.matmul(x, step, transpose_a=True), b - tf.reduce_sum(step, 0)

        def train_client(client: Any, kernels: Any, biases: Any) -> Any:
            start = (client * num_examples, (client + 1) * num_examples, kernel, bias)
            _, _, w, b = tf.while_loop(lambda first, end, *_: first < end, train_batch, start, parallel_iterations=1)
            return client + 1, kernels + w, biases + b

        start = (first_client, tf.zeros_like(kernel), tf.zeros_like(bias))
        return tf.while_loop(lambda client, *_: client < end_client, train_client, start, parallel_iterations=1)[1:]

    def one_round(self) -> None:
        num_clients, num_cores = self._work.num_clients, len(self._graphs)
        cuts = [num_clients * core // num_cores for core in range(num_cores + 1)]
        sums = list(self._threads.map(self._train_on, self._graphs, cuts[:-1], cuts[1:]))
        self.weights = [np.add.reduce(parts) / np.float32(num_clients) for parts in zip(*sums, strict=True)]

    def _train_on(self, graph: Callable[..., Any], first_client: int, end_client: int) -> list[Any]:
        import tensorflow as tf

        numbers = (tf.constant(first_client), tf.constant(end_client))
        return [tensor.numpy() for tensor in graph(*map(tf.constant, self.weights), *numbers)]


def compare(work: Work, num_rounds: int) -> tuple[float, float, float]:
    """Seconds of the best round by hand and with gossipfl, and the largest difference of weights."""
    federation = Federation(work, num_rounds)  # sets TensorFlow up with one thread per operation
    by_hand = HandWritten(work)
    turns = [(timed(by_hand.one_round), timed(federation.one_round)) for _ in range(num_rounds)]
    pairs = zip(by_hand.weights, federation.weights, strict=True)
    difference = max(float(abs(mine - theirs).max()) for mine, theirs in pairs)
    return *map(min, zip(*turns, strict=True)), difference


def main(directory: Path) -> None:
    work = Work("softmax", directory)
    hand, ours, difference = in_own_process(compare, work, 20)
    headings = ["one FedAvg round", "by hand (s)", "gossipfl (s)", "share of its speed", "aim", "difference"]
    print_table(
        headings, [[str(work), f"{hand:.3f}", f"{ours:.3f}", f"{hand / ours:.2f}", "0.80", f"{difference:.0e}"]]
    )


if __name__ == "__main__":
    main(directory_of_images())
