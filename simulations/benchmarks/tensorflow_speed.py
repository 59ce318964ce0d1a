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

from gossipfl.data.conversion import model_inputs


class HandWritten:
    """Multinomial logistic regression by gradient descent on all cores."""

    def __init__(self, work: Work) -> None:
        import tensorflow as tf

        from gossipfl.training.cores import available_cores

        data, num_cores = work.dataset, available_cores()
        self.weights = [np.zeros((28 * 28, 10), np.float32), np.zeros(10, np.float32)]
        self._x = tf.constant(model_inputs(data.train.x).reshape(len(data.train), -1))
        self._labels = tf.constant(data.train.y)
        self._one_hot = tf.one_hot(data.train.y, 10)
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
            return first + size, end, *self._step(tf.slice(self._x, [first, 0], [size, 28 * 28]), first, w, b)

        def train_client(client: Any, kernels: Any, biases: Any) -> Any:
            start = (client * num_examples, (client + 1) * num_examples, kernel, bias)
            _, _, w, b = tf.while_loop(lambda first, end, *_: first < end, train_batch, start, parallel_iterations=1)
            return client + 1, kernels + w, biases + b

        start = (first_client, tf.zeros_like(kernel), tf.zeros_like(bias))
        return tf.while_loop(lambda client, *_: client < end_client, train_client, start, parallel_iterations=1)[1:]

    def _step(self, x: Any, first: Any, w: Any, b: Any) -> Any:
        """w - lr x^T (softmax(x w + b) - y) / n"""
        import tensorflow as tf

        size = self._work.batch_size
        y = tf.slice(self._one_hot, [first, 0], [size, 10])
        step = (tf.nn.softmax(tf.matmul(x, w) + b) - y) * (LEARNING_RATE / size)
        return w - tf.matmul(x, step, transpose_a=True), b - tf.reduce_sum(step, 0)

    def one_round(self) -> None:
        num_clients, num_cores = self._work.num_clients, len(self._graphs)
        cuts = [num_clients * core // num_cores for core in range(num_cores + 1)]
        sums = list(self._threads.map(self._train_on, self._graphs, cuts[:-1], cuts[1:]))
        self.weights = [np.add.reduce(parts) / np.float32(num_clients) for parts in zip(*sums, strict=True)]

    def _train_on(self, graph: Callable[..., Any], first_client: int, end_client: int) -> list[Any]:
        import tensorflow as tf

        numbers = (tf.constant(first_client), tf.constant(end_client))
        return [tensor.numpy() for tensor in graph(*map(tf.constant, self.weights), *numbers)]


class WithTape(HandWritten):
    """The same with the gradient that TensorFlow finds."""

    def _step(self, x: Any, first: Any, w: Any, b: Any) -> Any:
        import tensorflow as tf

        y = tf.slice(self._labels, [first], [self._work.batch_size])
        with tf.GradientTape() as tape:
            tape.watch([w, b])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, tf.matmul(x, w) + b)
            loss = tf.reduce_mean(losses)
        gradient_w, gradient_b = tape.gradient(loss, [w, b])
        return w - LEARNING_RATE * gradient_w, b - LEARNING_RATE * gradient_b


def compare(work: Work, num_rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of the best round with a tape, with the gradient written down, and with gossipfl; and the largest
    difference of the weights of the first two from gossipfl's."""
    federation = Federation(work, num_rounds)  # sets TensorFlow up with one thread per operation
    by_hand = [WithTape(work), HandWritten(work)]
    competitors = [*by_hand, federation]
    turns = [[timed(competitor.one_round) for competitor in competitors] for _ in range(num_rounds)]
    differences = [
        max(float(abs(a - b).max()) for a, b in zip(one.weights, federation.weights, strict=True)) for one in by_hand
    ]
    return [min(rounds) for rounds in zip(*turns, strict=True)], differences


def main(directory: Path) -> None:
    work = Work("softmax", directory)
    (*by_hand, ours), differences = in_own_process(compare, work, 20)
    headings = ["one FedAvg round", "by hand", "by hand (s)", "gossipfl (s)", "share of its speed", "aim", "difference"]
    print_table(
        headings,
        [
            [str(work), how, f"{hand:.3f}", f"{ours:.3f}", f"{hand / ours:.2f}", "0.80", f"{difference:.0e}"]
            for how, hand, difference in zip(
                ("gradient tape", "gradient written down"), by_hand, differences, strict=True
            )
        ],
    )


if __name__ == "__main__":
    main(directory_of_images())
