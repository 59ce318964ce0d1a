"""Queries answered without a network: every peer's summary, merged in order."""

from collections.abc import Sequence

from gossipfl.queries import Answer, Query, Step, Values, merged


def answered(query: Query, values: Sequence[Values], num_features: int = 1) -> Answer:
    """The answer over these peers."""
    return asked(query, values, num_features)[0]


def asked(query: Query, values: Sequence[Values], num_features: int = 1) -> tuple[Answer, int]:
    """The answer and the number of passes; each has the sizes that were announced, of numbers that messages carry."""
    step: Step | Answer = query.first(num_features)
    passes = query.passes(num_features)
    num_passes = 0
    while isinstance(step, Step):
        summaries = [step.local(own) for own in values]
        for one in (*summaries, merged(summaries)):
            assert step.sizes == (one.sums.size, one.maxima.size)
            assert all(size <= most for size, most in zip(step.sizes, passes[num_passes], strict=True))
            assert one.low.size == one.sums.size
            assert all(abs(array).max(initial=0) <= 2.0**1000 for array in one)
        step = step.next(merged(summaries))
        num_passes += 1
    return step, num_passes
