"""`gossipfl audit` rebuilds what a neighbor or a server is sent, and shows what each defence leaves of it."""

import json
import re
import shlex
from pathlib import Path

import pytest

from gossipfl.audits.findings import Mean

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


DOCS = (Path(__file__).parents[2] / "docs" / "privacy.md").read_text("utf-8")
COMMANDS = re.findall(r"^gossipfl (audit .*)$", DOCS, re.MULTILINE)


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
    assert found["none"]["psnr"] == found["none"]["guess"]["psnr"]
    assert (found["none"]["labels"]["mean"], found["none"]["num_models"]) == (0.1, 0)
    assert found["none"]["attack_alone"]["labels"]["mean"] == 0
    assert found["none"]["tpr_at_0.01"] is None
    assert Path("audit/audit.html").read_text().count("data:image/png") == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            [],
            "the scenario has synchronous, fedavg, pairwise; name one of them (command line: --algorithm synchronous)",
        ),
        (["--algorithm", "pairwise"], "hold no single model"),
        (["--algorithm", "synchronous", "--attacker", "server"], "has no server"),
        (["--algorithm", "fedavg", "--defences", "masks"], "there is no defence 'masks'"),
        (["--algorithm", "fedavg", "--output", "."], "is there and not empty"),
        (["--algorithm", "synchronous", "--defences", "encryption"], "nothing could be audited (encryption: "),
    ],
)
def test_what_cannot_be_attacked_is_refused_before_anything_runs(gossipfl_, words, said) -> None:
    outcome = gossipfl_("audit", "toy.toml", *words)
    assert outcome.status == 1
    assert said in outcome.err
    assert outcome.err.startswith("Error: ")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_documentation_says_to_type(command_line, command) -> None:
    toy = ["--targets", "2", "--set", "rounds=1", "--set", "data.max_train=200", "--set", "data.max_test=100"]
    outcome = command_line(*shlex.split(command), *toy, "--output", "audit")
    assert outcome.status == 0, outcome.err
    assert "Page: audit/audit.html" in outcome.out


def test_a_defence_that_cannot_be_had_is_said_and_the_others_are_made(gossipfl_) -> None:
    words = ["--algorithm", "synchronous", "--defences", "encryption,none", "--targets", "2", "--output", "audit"]
    found = audited(gossipfl_("audit", "toy.toml", *words, "--json"))
    assert "encryption" in found["encryption"]["refused"]
    assert found["none"]["refused"] is None


def test_noise_leaves_less_than_no_noise(gossipfl_) -> None:
    words = ["--algorithm", "synchronous", "--defences", "none,dp=1", "--targets", "4", "--output", "audit", "--json"]
    found = audited(gossipfl_("audit", "toy.toml", *words))
    assert found["dp=1"]["psnr"]["mean"] < 15 < found["none"]["psnr"]["mean"]
    assert found["dp=1"]["attack_alone"]["psnr"]["mean"] < found["dp=1"]["psnr"]["mean"]
    assert found["dp=1"]["psnr"] == found["dp=1"]["guess"]["psnr"]


def test_a_budget_that_ends_a_run_early_is_in_table_page_and_figures(gossipfl_) -> None:
    budget = "privacy.differential_privacy={level='peer', noise=2.0, epsilon=3.0}"
    words = ["--defences", "none,scenario", "--targets", "1", "--set", "rounds=8", "--set", budget, "--output", "audit"]
    outcome = gossipfl_("audit", "toy.toml", "--algorithm", "synchronous", *words)
    assert outcome.status == 0, outcome.err
    told = json.loads(Path("audit/audit.json").read_text())
    rounds = [finding["rounds"] for finding in told["findings"]]
    assert rounds[0] == 8 > rounds[1]
    said = f"NOT of equal length (rounds: none 8, scenario {rounds[1]})"
    assert said in " ".join(outcome.out.split())
    assert said in Path("audit/audit.html").read_text()
    assert "--set rounds=8" in told["command"]


def test_the_attack_can_be_chosen(gossipfl_) -> None:
    words = ["--algorithm", "synchronous", "--defences", "none", "--targets", "1", "--iterations", "20", "--json"]
    found = audited(gossipfl_("audit", "toy.toml", *words, "--attack", "dlg", "--output", "dlg"))
    assert found["none"]["attack"] == "Deep Leakage from Gradients"
    assert found["none"]["psnr"]["mean"] > found["none"]["guess"]["psnr"]["mean"]
    found = audited(gossipfl_("audit", "toy.toml", *words, "--attack", "closed_form", "--output", "closed"))
    assert found["none"]["attack"] == "closed form of the first dense layer"
    outcome = gossipfl_("audit", "toy.toml", *words, "--attack", "dlg", "--set", "training.optimizer=sgd")
    assert (outcome.status, "needs the size of the gradient" in outcome.err) == (1, True), outcome.err


@pytest.mark.slow
def test_more_noise_and_more_local_steps_leave_less_within_the_standard_error(gossipfl_) -> None:
    families = [["none", "steps=4", "steps=16"], ["none", "dp=0.01", "dp=0.1", "dp=1"]]
    words = ["--defences", ",".join(dict.fromkeys([*families[0], *families[1]])), "--set", "topology.arguments.n=20"]
    words += ["--set", "data.max_train=400", "--algorithm", "synchronous", "--output", "audit", "--json"]
    found = audited(gossipfl_("audit", "toy.toml", *words))
    for measure in ("psnr", "ssim"):
        means = {name: Mean(one["mean"], one["standard_error"], 20) for name in found if (one := found[name][measure])}
        for family in families:
            for number, less in enumerate(family):
                assert not any(means[more].is_above(means[less]) for more in family[number + 1 :])
    assert found["none"]["psnr"]["mean"] > 2 * found["steps=16"]["psnr"]["mean"]
    assert found["steps=16"]["attack_alone"]["psnr"]["mean"] > 2 * found["dp=1"]["attack_alone"]["psnr"]["mean"]


def test_a_sum_of_few_examples_hides_whose_they_are_and_not_what_they_are(gossipfl_) -> None:
    """Of a sum of two steps on one image each, an image that is alone in its class is copied out."""
    words = ["--algorithm", "synchronous", "--defences", "secure", "--targets", "4", "--output", "audit", "--json"]
    found = audited(gossipfl_("audit", "toy.toml", *words))["secure"]
    assert (found["num_models"], found["refused"]) == (2, None)
    assert found["psnr"]["mean"] > 40
    assert found["labels"]["mean"] < 1
