"""`gossipfl audit` rebuilds what a neighbor or a server is sent, and shows what each defence leaves of it."""

import json
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="needs TensorFlow")

TOY = """
name = "toy"
rounds = 1
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 40, max_test = 100 }
training = { batch_size = 1, steps = 1 }
topology = { name = "ring", arguments = { n = 4 } }
algorithms = ["synchronous", "fedavg", "pairwise"]
"""


@pytest.fixture
def gossipfl_(command_line):
    Path("toy.toml").write_text(TOY)
    return command_line


def audited(outcome) -> dict[str, dict]:
    assert (outcome.status, "Traceback" in outcome.err) == (0, False), outcome.err
    return {finding["defence"]: finding for finding in json.loads(outcome.out)["findings"]}


@pytest.mark.parametrize("algorithm", ["synchronous", "fedavg"])
def test_without_a_defence_single_examples_are_rebuilt_exactly(gossipfl_, algorithm) -> None:
    words = ["--algorithm", algorithm, "--defences", "none,steps=4x", "--targets", "4", "--output", "audit", "--json"]
    found = audited(gossipfl_("audit", "toy.toml", *words))
    assert found["none"]["psnr"]["mean"] > 100
    assert found["none"]["ssim"]["mean"] == pytest.approx(1)
    assert found["none"]["labels"]["mean"] == 1
    assert found["steps=4x"]["psnr"]["mean"] < 40
    assert json.loads(Path("audit/audit.json").read_text())["findings"] == list(found.values())
    assert "data:image" not in Path("audit/audit.html").read_text()


def test_an_eavesdropper_has_nothing_but_a_guess(gossipfl_) -> None:
    words = ["--attacker", "eavesdropper", "--defences", "none", "--targets", "4", "--show-examples", "--json"]
    found = audited(gossipfl_("audit", "toy.toml", "--algorithm", "synchronous", "--output", "audit", *words))
    assert found["none"]["psnr"]["mean"] < 20
    assert (found["none"]["labels"]["mean"], found["none"]["num_models"]) == (0, 0)
    assert found["none"]["tpr_at_0.01"] is None
    assert Path("audit/audit.html").read_text().count("data:image/png") == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--algorithm", "pairwise"], "hold no single model"),
        (["--algorithm", "synchronous", "--attacker", "server"], "has no server"),
        (["--algorithm", "fedavg", "--defences", "masks"], "there is no defence 'masks'"),
        (["--algorithm", "fedavg", "--output", "."], "is there and not empty"),
    ],
)
def test_what_cannot_be_attacked_is_refused_before_anything_runs(gossipfl_, words, said) -> None:
    outcome = gossipfl_("audit", "toy.toml", *words)
    assert outcome.status == 1
    assert said in outcome.err
    assert outcome.err.startswith("Error: ")
