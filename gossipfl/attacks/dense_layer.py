"""A dense layer tells its inputs: the gradient of a unit is its input, times the gradient of its bias.

With inputs x_i of a batch and e_ci the derivative of the loss by unit c before its activation,

    dL/dW[:, c] = sum_i e_ci x_i,   dL/db[c] = sum_i e_ci,

so the quotient of the two is a mean of the inputs, weighted by e_ci; of a single input it is that input, exactly, for
whatever c the bias has a gradient (Geiping et al., 2020). A factor of all, such as a learning rate, cancels.
"""

import numpy as np
from numpy.typing import NDArray


def inputs_told(kernel: NDArray[np.floating], bias: NDArray[np.floating], most: int = 16) -> NDArray[np.float64]:
    """The inputs [k, n] that the gradients of a layer, `kernel` [n, units] and `bias` [units], tell: by each of the
    k <= `most` units whose bias has the largest ones. Nothing is told (k = 0) where no bias has any.

    >>> x, errors = np.array([0.25, 1.0]), np.array([0.5, -0.5])
    >>> inputs_told(np.outer(x, errors), errors, most=1)
    array([[0.25, 1.  ]])
    """
    kernel, bias = np.asarray(kernel, np.float64), np.asarray(bias, np.float64)
    units = [unit for unit in np.argsort(-np.abs(bias), kind="stable")[:most] if bias[unit] != 0]
    return (kernel[:, units] / bias[units]).T


def labels_told(bias: NDArray[np.floating]) -> NDArray[np.int64]:
    """The classes that the gradient of the last bias, before softmax and cross-entropy, tells: those in which it is
    negative. It is the mean of p_c - [c is the label]; of a single example, it is so in its own class alone (Zhao et
    al., 2020).

    >>> labels_told(np.array([0.2, -0.9, 0.7]))
    array([1])
    """
    return np.flatnonzero(np.asarray(bias) < 0)
