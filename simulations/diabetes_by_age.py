"""The patients of `diabetes_by_age.toml`: a table of ten measurements, and how far the disease is a year later."""

import numpy as np

from gossipfl import Dataset, Examples

SCALE = 100.0
"""Targets are in hundreds, so that usual learning rates do."""


def patients() -> Dataset:
    """The 442 patients that come with scikit-learn (Efron et al., 2004); the column `decade` has that of their age,
    of whom there are enough. Every fifth one is held out."""
    from sklearn.datasets import load_diabetes

    table = load_diabetes(scaled=False)
    x = table.data.astype(np.float32)
    decade = np.clip(x[:, 0].astype(np.int64) // 10 * 10, 20, 60)
    held_out = np.arange(len(x)) % 5 == 0
    scaled = (x - x[~held_out].mean(axis=0)) / x[~held_out].std(axis=0)
    y = (table.target / SCALE).astype(np.float32)
    train, test = (Examples(scaled[rows], y[rows], columns={"decade": decade[rows]}) for rows in (~held_out, held_out))
    return Dataset("diabetes", train, test)
