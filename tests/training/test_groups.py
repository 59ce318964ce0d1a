from hypothesis import given
from hypothesis import strategies as st

from gossipfl.training.groups import balanced_groups, equal_parts

jobs = st.lists(st.tuples(st.integers(1, 100), st.integers(1, 50)), min_size=1, max_size=40)


@given(jobs, st.integers(1, 8), st.integers(1, 500))
def test_every_job_is_in_one_group_within_memory(jobs, num_groups, max_bytes):
    work, num_bytes = zip(*jobs, strict=True)
    groups = balanced_groups(work, num_bytes, num_groups, max_bytes)
    assert sorted(position for group in groups for position in group) == list(range(len(jobs)))
    assert all(group == sorted(group) for group in groups)
    assert all(len(group) == 1 or sum(num_bytes[position] for position in group) <= max_bytes for group in groups)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40), st.integers(1, 8))
def test_work_is_balanced_when_memory_allows(work, num_groups):
    groups = balanced_groups(work, [1] * len(work), num_groups, 10**9)
    loads = [sum(work[position] for position in group) for group in groups]
    assert len(groups) == min(num_groups, len(work))
    assert loads == sorted(loads, reverse=True)
    assert max(loads) - min(loads) <= max(work)


@given(st.integers(0, 1000), st.integers(1, 10))
def test_equal_parts_cover_the_line(length, num_parts):
    parts = equal_parts(length, num_parts)
    assert [position for first, end in parts for position in range(first, end)] == list(range(length))
    sizes = {end - first for first, end in parts}
    assert len(parts) == min(length, num_parts)
    assert not sizes or max(sizes) - min(sizes) <= 1
