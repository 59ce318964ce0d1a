"""Numbers as people read them."""

from collections.abc import Callable

from gossipfl.scores import Metric


def percent(share: float) -> str:
    """A share in percent, two decimals."""
    return f"{100 * share:.2f}"


def by(metric: Metric) -> Callable[[float], str]:
    """A function that shows values of a metric: shares in percent, other numbers with four digits."""
    return percent if metric.unit == "share" else "{:.4g}".format


def shown_target(target: float, metric: Metric) -> str:
    """A value of a metric, as it was given.

    >>> shown_target(0.85, Metric("accuracy")), shown_target(8.5, Metric("perplexity", unit="number"))
    ('85%', '8.5')
    """
    return f"{100 * target:g}%" if metric.unit == "share" else f"{target:g}"


def num_bytes(size: float) -> str:
    """A number of bytes in decimal units.

    >>> num_bytes(31_400), num_bytes(0)
    ('31.4 kB', '0 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def seconds(time_: float) -> str:
    """A span of time, three significant digits.

    >>> seconds(0.25), seconds(90), seconds(7200)
    ('0.25 s', '1.5 min', '2 h')
    """
    if time_ < 60:
        return f"{time_:.3g} s"
    return f"{time_ / 60:.3g} min" if time_ < 3600 else f"{time_ / 3600:.3g} h"
