"""What the README says is so; `test_pages.py` runs what it shows."""

import re
from pathlib import Path

from gossipfl.algorithms import ALGORITHMS

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_two_commands_are_those_of_ci() -> None:
    """The first two blocks install and run; `.ci/run` does the same, step by step."""
    ci = (Path(__file__).parents[1] / ".ci" / "run").read_text("utf-8")
    main_job, tests = (block.strip() for block in blocks("sh")[:2])

    assert main_job == "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/gossipfl compare"
    assert tests == "python3 -m venv .venv && .venv/bin/pip install '.[dev]' && .venv/bin/pytest -n 2 --dist worksteal"
    for step in tests.split(" && "):
        assert f"\n{step}" in ci, step


def test_the_number_of_algorithms_is_right() -> None:
    assert len(ALGORITHMS) == 19
    assert "one of nineteen algorithms" in README


def test_picture_is_there() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[1] / path).stat().st_size > 10_000


def test_paths_exist() -> None:
    for path in re.findall(r"`((?:gossipfl|simulations|topologies|docs)/[\w./-]*)`", README):
        assert (Path(__file__).parents[1] / path).exists(), path


def test_pages_that_it_leads_to_are_there() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (Path(__file__).parents[1] / link).exists(), link


def test_a_first_reader_learns_of_each_way_in() -> None:
    for word in ("audit", "privacy plan", "secure sums", "encrypted", "notebook", "dashboard", "model.fit"):
        assert word in README, word
