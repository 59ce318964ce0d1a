"""`gossipfl privacy`: what a scenario spends, before it runs."""

import json

import pytest
from safetensors.numpy import load_file

from gossipfl.scenario.loading import load_scenario


def test_a_plan_shows_noise_rounds_and_epsilon(command_line):
    outcome = command_line("privacy", "plan", "privacy", "--epsilon", "20")
    assert outcome.status == 0, outcome.err
    assert "all that one peer has: clip 1, noise multiplier 0.9" in outcome.out
    assert "synchronous: epsilon against one curious peer" in outcome.out
    assert "fedavg: computed where a round is an update and a mean" in outcome.out


def test_json_has_all_of_it(command_line):
    outcome = command_line("privacy", "plan", "ring_vs_fedavg", "--level", "peer", "--epsilon", "8", "--json")
    told = json.loads(outcome.out)
    assert told["rounds"] == told["wanted_rounds"] == 30
    assert 7.99 < told["largest_epsilon"] <= 8
    assert {peer["uses"] for peer in told["peers"]} == {30}
    near, *_, far = told["against_one_neighbor"]["synchronous"]
    assert near["distance"] == 1
    assert near["mean"] == pytest.approx(told["largest_epsilon"])
    assert far["largest"] < near["largest"] - 1, "what is sent in the last rounds does not arrive"


def test_a_plan_warns_of_noise_that_swamps_the_model(command_line, tmp_path):
    few = [
        "--set",
        "topology={name='ring', arguments={n=4}}",
        "--set",
        "algorithms=['synchronous']",
        "--set",
        "rounds=3",
    ]
    assert "The noise swamps the model: to one peer's update" in command_line("privacy", "plan", "privacy", *few).out
    assert command_line("simulate", "privacy", *few, "--output", "run").status == 0
    assert "The noise swamps the model" in (tmp_path / "run" / "manifest.json").read_text()
    calm = ["--set", "privacy.differential_privacy.noise=0.05"]
    assert json.loads(command_line("privacy", "plan", "privacy", *few, *calm, "--json").out)["warnings"] == []


@pytest.mark.parametrize("defence", ["differential_privacy", "secure_aggregation", "encryption"])
def test_false_turns_one_defence_off(defence):
    both = ["privacy.secure_aggregation=true", "algorithms=['synchronous']"]
    scenario = load_scenario("privacy", [*both, f"privacy.{defence}=false"])
    assert getattr(scenario.privacy, defence) is None
    kept = {"differential_privacy", "secure_aggregation"} - {defence}
    assert all(getattr(scenario.privacy, name) is not None for name in kept)


def test_a_budget_of_a_scenario_ends_its_rounds(command_line):
    told = command_line("privacy", "plan", "privacy", "--set", "privacy.differential_privacy.epsilon=10", "--json")
    told = json.loads(told.out)
    assert (told["rounds"], told["wanted_rounds"]) == (4, 10)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["ring_vs_fedavg"], "say what is to be protected, --level peer, and how well, --epsilon 8"),
        (["ring_vs_fedavg", "--level", "peer"], "--epsilon 8"),
        (["privacy", "--level", "galaxy"], "allowed are example, peer, server"),
        (["privacy", "--epsilon", "-1"], "greater than 0"),
        (["privacy", "--set", "privacy.differential_privacy.delta=2"], "less than 1"),
        (["ring_vs_fedavg", "--level", "peer", "--epsilon", "8", "--set", "algorithms=['local']"], "sends anything"),
    ],
)
def test_what_cannot_be_planned_is_one_sentence(command_line, arguments, why):
    outcome = command_line("privacy", "plan", *arguments)
    assert outcome.status == 1
    assert why in outcome.err
    assert "Traceback" not in outcome.err


def test_a_run_within_a_budget_says_what_it_spent_and_ends_in_time(command_line, tmp_path):
    changes = {"epsilon": 10, "delta": 1e-5, "level": "peer", "noise": 1.0}
    fields = [f"privacy.differential_privacy.{key}={value}" for key, value in changes.items()]
    fields += ["topology={name='ring'}", "algorithms=['synchronous']"]
    options = [option for field in fields for option in ("--set", field)]
    for command in ("simulate", "launch"):
        outcome = command_line(command, "privacy", *options, "--output", command)
        assert outcome.status == 0, outcome.err
        manifest = json.loads((tmp_path / command / "manifest.json").read_text())
        said = " ".join(manifest["differences"])
        assert "Of 10 rounds there are 4: more would spend more than the epsilon of 10" in said
        assert ("protects nobody" in said) == (command == "simulate")


SECURE = ["--set", "privacy={secure_aggregation=true}", "--set", "topology={name='torus'}", "--set", "rounds=2"]
SECURE += ["--set", "algorithms=['synchronous']"]


@pytest.mark.parametrize("algorithm", ["synchronous", "fedavg"])
def test_sums_that_nobody_sees_into_give_the_same_over_http_and_no_single_model(command_line, tmp_path, algorithm):
    finals = []
    for command in ("simulate", "launch"):
        outcome = command_line(command, "privacy", *SECURE, "--set", f"algorithms=['{algorithm}']", "--output", command)
        assert outcome.status == 0, outcome.err
        finals.append(load_file(next((tmp_path / command / "weights").glob("*peers.safetensors"))))
    assert all((finals[0][name] == finals[1][name]).all() for name in finals[0])
    alone = command_line("export", "launch", "--peer", "0", "--output", "alone.keras")
    assert (alone.status, "nobody sees the model of 0 alone; leave --peer out" in alone.err) == (1, True)


def test_a_peer_without_certificates_takes_part_in_no_secure_sum(command_line, tmp_path):
    addresses = [option for k in range(1, 16) for option in ("--address", f"{k}=http://127.0.0.1:{9000 + k}")]
    peer = ("peer", "privacy", *SECURE, "--name", "0", *addresses, "--listen", "127.0.0.1:0", "--run-directory", "a")
    outcome = command_line(*peer)
    assert (outcome.status, "secure_aggregation needs certificates" in outcome.err) == (1, True)
    command_line("certs", "init")
    command_line("certs", "issue", "0")
    outcome = command_line(*peer, "--certs", "certs", "--give-weights")
    assert (outcome.status, "would give whoever asks the model" in outcome.err) == (1, True)
    outcome = command_line("launch", "privacy", *SECURE, "--processes", "--output", "b")
    assert (outcome.status, "launch --processes gives peers no certificates" in outcome.err) == (1, True)
    assert not (tmp_path / "b").exists()


def test_questions_are_not_asked_around_the_defences_of_a_scenario(command_line):
    asked = ("measure", "privacy", "--query", "count")
    outcome = command_line(*asked)
    assert (outcome.status, "differential_privacy does not go together with questions" in outcome.err) == (1, True)
    assert command_line(*asked, "--set", "privacy={}").status == 0
    secure = (*asked, "--set", "privacy={secure_aggregation=true}", "--set", "algorithms=['synchronous']")
    plain, masked = (
        json.loads(command_line(*words, "--json").out) for words in ((*asked, "--set", "privacy={}"), secure)
    )
    assert masked["answers"] == plain["answers"]
    assert masked["cost"]["num_passes"] == plain["cost"]["num_passes"] + 1  # of keys
    assert all(masked["cost"][name] <= masked["predicted"][name] for name in masked["cost"])
    outcome = command_line(*secure, "--query", "distinct:y")
    assert (outcome.status, "cannot be asked with privacy.secure_aggregation" in outcome.err) == (1, True)
    addresses = [option for k in range(1, 40) for option in ("--address", f"{k}=http://127.0.0.1:{9000 + k}")]
    outcome = command_line(*secure, "--name", "0", *addresses, "--listen", "127.0.0.1:0")
    assert (outcome.status, "secure_aggregation needs certificates" in outcome.err) == (1, True)
