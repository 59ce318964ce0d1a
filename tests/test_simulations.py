"""Every scenario in `simulations/` loads, says what it asks, and runs at toy size."""

import math

import pytest

from gossipfl.names import resources
from gossipfl.scenario import load_scenario

TOY = ["rounds=2", "data.max_test=40", "data.max_train=400", "training.batch_size=20"]


OF_ITS_OWN = {
    "heterogeneity": ["data.source=digits", "data.partition.min_examples=1"],
    "kmnist_ten_clients": ["data.source=digits"],
    "local_steps": ["data.partition.min_examples=1"],
    "scale_1000": ["topology.arguments.n=30"],
    "small_gpt": ["data.max_train=160"],
}


def toy_size(name: str) -> list[str]:
    """Overrides that make a scenario small, and put data that are always there in the place of a download."""
    return [*TOY, *OF_ITS_OWN.get(name, [])]


@pytest.mark.parametrize("name", resources.names("simulations"))
def test_scenario_states_its_question(name: str) -> None:
    scenario = load_scenario(name)
    text = (resources.folder("simulations") / f"{name}.toml").read_text("utf-8")

    assert scenario.name == name
    assert scenario.description.endswith("?")
    assert text.startswith("# ")
    assert "What to expect:" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", resources.names("simulations"))
def test_scenario_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorflow")
    from gossipfl.experiments.running import run_all

    if name == "small_gpt":
        monkeypatch.syspath_prepend(resources.folder("simulations"))
        monkeypatch.setattr("small_gpt.PRETRAINING_STEPS", 2)
    scenario = load_scenario(name, toy_size(name))
    comparison = run_all(scenario)

    assert [history.algorithm for history in comparison.histories] == scenario.labels
    is_lossy = scenario.network.model().loses_messages  # a patient server goes on without what some clients trained
    for history in comparison.histories:
        assert history.last.round == 2 or (is_lossy and history.last.round == 1)
        assert history.num_refused == 0
        assert math.isfinite(history.last.average_loss)
        assert all(math.isfinite(one.average) for one in history.last.metrics.values())
        if "accuracy" in history.last.metrics:
            assert 0 < history.last.average_accuracy <= 1
        assert history.last.num_bytes > 0
