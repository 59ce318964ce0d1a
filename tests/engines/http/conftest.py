from pathlib import Path

import pytest
from fair_time import fair_time
from issued import new_run

__all__ = ["fair_time"]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of peers "a" and "b"; read only."""
    return new_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another run, whose peers have the same names."""
    return new_run(tmp_path_factory.mktemp("other-run"))
