"""The second eigenvalue of the mixing matrix says how fast mixing brings peers together.

With J = 11^T / n and rho = ||W - J||_2, one round x <- W x shrinks the consensus distance
sqrt(mean_i ||x_i - mean(x)||^2) by a factor of at most rho (Boyd et al., 2006).
"""

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from gossipfl.errors import ConfigurationError, TopologyError
from gossipfl.randomness import generator

_LARGEST_DENSE = 500
"""Below, the dense solver takes milliseconds; above, Lanczos is faster (measured to 2,000 peers, to 1e-14 of dense)."""

_LANCZOS_VECTORS = 60
"""More than SciPy's 20: long rings and lines have many eigenvalues within 1e-5 of rho."""

_ROUNDING = 1e-12


def second_eigenvalue(W: sparse.csr_array) -> float:
    """rho = ||W - J||_2, the second largest absolute eigenvalue of a mixing matrix, from 0 (one round is enough) to 1
    (never).

    Raises TopologyError when `W` is not symmetric.
    """
    num_peers = W.shape[0]
    if abs(W - W.T).max() > 1e-9:
        raise TopologyError("The mixing matrix is not symmetric. Check it with checked_matrix.")
    operator = linalg.LinearOperator(W.shape, matvec=lambda x: W @ x - x.mean(), dtype=np.float64)
    values = _eigenvalues(operator, lambda: W.toarray() - 1 / num_peers, "LM", "second eigenvalue")
    rho = float(np.abs(values).max())
    return 0.0 if rho < _ROUNDING else min(rho, 1.0)


def smallest_eigenvalue(W: sparse.csr_array) -> float:
    """The smallest eigenvalue of a symmetric mixing matrix, from -1 to 1; D2 needs it above -1/3."""
    return float(_eigenvalues(W, W.toarray, "SA", "smallest eigenvalue")[0])


def _eigenvalues(
    operator: sparse.csr_array | linalg.LinearOperator,
    dense: Callable[[], NDArray[np.floating]],
    which: Literal["LM", "SA"],
    purpose: str,
) -> NDArray[np.floating]:
    """All eigenvalues of a small symmetric matrix, in order; of a large one that of largest modulus or the smallest."""
    num_peers = operator.shape[0]
    if num_peers > _LARGEST_DENSE:
        start = generator(0, purpose).standard_normal(num_peers)
        with suppress(linalg.ArpackNoConvergence):
            found: NDArray[np.floating] = linalg.eigsh(
                operator, k=1, which=which, v0=start, ncv=_LANCZOS_VECTORS, tol=1e-10, return_eigenvectors=False
            )
            return found
    return np.linalg.eigvalsh(dense())


def second_modulus(P: sparse.csr_array) -> float:
    """The second largest absolute eigenvalue of a matrix like `push_matrix` that need not be symmetric, from 0 to 1: in
    the long run, a step of push-sum shrinks the distance between peers by that factor."""
    if P.shape[0] > _LARGEST_DENSE:
        start = generator(0, "second modulus").random(P.shape[0])
        try:
            values = linalg.eigs(P, k=2, which="LM", v0=start, ncv=_LANCZOS_VECTORS, return_eigenvectors=False)
        except linalg.ArpackNoConvergence:
            values = np.linalg.eigvals(P.toarray())
    else:
        values = np.linalg.eigvals(P.toarray())
    second = np.sort(np.abs(values))[::-1][1:2].sum()  # a single peer has none
    return 0.0 if second < _ROUNDING else min(float(second), 1.0)


def least_stationary_mass(P: sparse.csr_array) -> float:
    """The smallest mass of a peer after many steps of `push_matrix` from a mass of 1 each: n min(pi), P pi = pi."""
    num_peers = P.shape[0]
    if num_peers == 1:
        return 1.0
    # (P - I) pi = 0 has one solution up to a factor; sum(pi) = n in place of its last equation gives the factor.
    equations = sparse.vstack([(P - sparse.eye_array(num_peers)).tocsr()[:-1], np.ones((1, num_peers))]).tocsc()
    masses = linalg.spsolve(equations, np.r_[np.zeros(num_peers - 1), num_peers])
    return max(float(masses.min()), 0.0)


def spectral_gap(W: sparse.csr_array) -> float:
    """1 - rho, see `second_eigenvalue`: 1 mixes in one round, 0 never."""
    return 1.0 - second_eigenvalue(W)


def predicted_rounds(rho: float, factor: float = 1e-3) -> int | None:
    """Rounds of pure mixing until the consensus distance is at most `factor` of its start: ceil(log factor / log rho).

    None when rho is 1: the peers never agree. Raises ConfigurationError when `rho` or `factor` is out of range.

    >>> predicted_rounds(0.5)
    10
    """
    if not 0 < factor < 1:
        raise ConfigurationError(f"factor must be between 0 and 1 (exclusive), got {factor}")
    if not rho >= 0:
        raise ConfigurationError(f"rho is a norm and must be >= 0, got {rho}")
    if rho >= 1 - _ROUNDING:
        return None
    if rho <= factor:
        return 1
    return math.ceil(math.log(factor) / math.log(rho) - 1e-9)  # 1e-9: 0.1 takes 3 rounds to 1e-3, not 4
