"""What a new user meets first: silence, and help."""

import pydoc
import subprocess
import sys

import pytest

import gossipfl

QUIET = """
import gossipfl
history = gossipfl.simulate("ring_vs_fedavg", "pairwise", model="softmax", data={"max_train": 60})
assert len(history) > 1
"""


@pytest.mark.slow
def test_nothing_of_tensorflow_is_seen(monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=False, timeout=200)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_help_begins_with_an_example():
    described = pydoc.plain(pydoc.render_doc(gossipfl)).partition("DESCRIPTION")[2].strip()
    assert described.startswith("import gossipfl\n")
    assert 'gossipfl.compare("ring_vs_fedavg", progress=True)' in described


def test_help_on_a_scenario_shows_what_is_ours():
    shown = pydoc.plain(pydoc.render_doc(gossipfl.Scenario))
    assert "with_changes" in shown
    assert "inherited from" not in shown
    for one in (gossipfl.Scenario, gossipfl.Scenario()):
        assert {"with_changes", "labels"} <= {*dir(one)}
        assert not {name for name in dir(one) if name.startswith(("model_", "__")) or name in ("copy", "json", "dict")}
    assert {"rounds", "topology"} <= {*dir(gossipfl.Scenario())}
