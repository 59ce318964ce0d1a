"""Queries answered without a network: every peer's summary, merged in order."""

from collections.abc import Sequence

from gossipfl.queries import Answer, Query, Step, Values, merged


def answered(query: Query, values: Sequence[Values], num_features: int = 1) -> Answer:
    """The answer over these peers."""
    return asked(query, values, num_features)[0]


def asked(query: Query, values: Sequence[Values], num_features: int = 1) -> tuple[Answer, int]:
    """The answer and the number of passes; they are as announced, of numbers that messages carry."""
    step: Step | Answer = query.first(num_features)
    passes = query.passes(num_features)
    most = [max(sizes) for sizes in zip(*passes, strict=True)]
    num_passes = 0
    while isinstance(step, Step):
        summaries = [step.local(own) for own in values]
        for one in (*summaries, merged(summaries)):
            assert step.sizes == (one.sums.size, one.maxima.size)
            assert all(size <= limit for size, limit in zip(step.sizes, most, strict=True))
            assert one.low.size == one.sums.size
            assert all(abs(array).max(initial=0) <= 2.0**1000 for array in one)
        step = step.next(merged(summaries))
        num_passes += 1
    assert num_passes <= len(passes)
    return step, num_passes
