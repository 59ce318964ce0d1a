"""A run that was stopped, in whatever way, goes on and ends as if it had not been."""

import errno
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from outcome import Outcome
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

from gossipfl.files import checkpoints
from gossipfl.files.checkpoints import newest_checkpoint
from gossipfl.runs import directory as run_directory
from gossipfl.runs import manifest as run_manifests

TOY = """
rounds = 5
targets = [0.3]
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 80, max_test = 40 }
topology = { name = "ring", arguments = { n = 4 } }
network = { preset = "WAN" }
compute = { speed_spread = 0.5 }
evaluation = { every = 2 }
algorithms = ["pairwise", { name = "fedavg", client_fraction = 0.5 }]
"""


FULL = OSError(errno.ENOSPC, "No space left on device", "disk")


class Killed(BaseException):
    """What the process does not survive: nothing is tidied up."""


def stop_training(monkeypatch, call: int, error: BaseException) -> list[SoftmaxTrainer]:
    """From the call of that number on, training ends in the error."""
    calls = count()

    class Stopped(SoftmaxTrainer):
        def train(self, jobs):
            if next(calls) >= call:
                raise error
            return super().train(jobs)

    return run_without_tensorflow(monkeypatch, Stopped)


def content(run: Path) -> dict[str, str]:
    """Digests of what a run has measured, and of its final weights."""
    files = [run / "history.jsonl", run / "summary.json", *sorted((run / "weights").iterdir())]
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture
def gossipfl_(command_line) -> Callable[..., Outcome]:
    Path("toy.toml").write_text(TOY)
    return command_line


@pytest.fixture
def undisturbed(gossipfl_) -> dict[str, str]:
    assert gossipfl_("simulate", "toy.toml", "--seeds", "2", "--output", "undisturbed").status == 0
    return content(Path("undisturbed"))


@pytest.mark.parametrize("how", [KeyboardInterrupt(), Killed()], ids=["Ctrl-C", "kill -9"])
@pytest.mark.parametrize("every", [None, "1", "2"])
@pytest.mark.parametrize("call", [0, 4, 15, 23])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(gossipfl_, undisturbed, monkeypatch, how, every, call):
    stop_training(monkeypatch, call, how)
    saves = [] if every is None else ["--checkpoint-every", every]
    arguments = ("simulate", "toy.toml", "--seeds", "2", "--output", "run", *saves)
    if isinstance(how, Killed):
        with pytest.raises(Killed):
            gossipfl_(*arguments)
    else:
        stopped = gossipfl_(*arguments)
        assert (stopped.status, stopped.err) == (130, "")
        assert "To go on: gossipfl simulate --resume run" in stopped.out

    run_without_tensorflow(monkeypatch)
    resumed = gossipfl_("simulate", "--resume", "run")

    assert (resumed.status, resumed.err) == (0, "")
    assert content(Path("run")) == undisturbed
    assert "toy: accuracy on held-out data in %" in resumed.out
    assert not Path("run/checkpoints").exists()
    assert json.loads(Path("run/manifest.json").read_text())["interrupted"] is False


def test_what_was_saved_is_not_run_again(gossipfl_, monkeypatch):
    trainers = stop_training(monkeypatch, 6, KeyboardInterrupt())
    gossipfl_(
        "simulate",
        "toy.toml",
        "--set",
        'algorithms=["synchronous", "local"]',
        "--set",
        "compute.speed_spread=0",
        "--set",
        "network.preset=IDEAL",
        "--output",
        "run",
        "--checkpoint-every",
        "1",
    )
    assert trainers[0].num_calls == 6  # five rounds of the first, one of the second
    trainers = run_without_tensorflow(monkeypatch)
    gossipfl_("simulate", "--resume", "run")
    assert trainers[0].num_calls == 4


def test_a_run_may_be_stopped_again_and_again(gossipfl_, undisturbed, monkeypatch):
    stop_training(monkeypatch, 5, KeyboardInterrupt())
    gossipfl_("simulate", "toy.toml", "--seeds", "2", "--output", "run", "--checkpoint-every", "1")
    for _ in range(20):
        stop_training(monkeypatch, 4, KeyboardInterrupt())
        outcome = gossipfl_("simulate", "--resume", "run")
        if outcome.status == 0:
            break
    assert outcome.status == 0
    assert content(Path("run")) == undisturbed


def test_a_comparison_goes_on_with_its_table(gossipfl_, monkeypatch):
    whole = gossipfl_("compare", "toy.toml", "--output", "whole")
    stop_training(monkeypatch, 8, KeyboardInterrupt())
    gossipfl_("compare", "toy.toml", "--output", "run", "--checkpoint-every", "2")
    run_without_tensorflow(monkeypatch)
    resumed = gossipfl_("compare", "--resume", "run")
    tables = [outcome.out[outcome.out.index("toy: accuracy") :] for outcome in (resumed, whole)]
    assert tables[0].replace("run", "whole") == tables[1].replace("run", "whole")
    assert content(Path("run")) == content(Path("whole"))


def test_a_run_that_has_ended_has_nothing_left_to_do(gossipfl_, undisturbed, monkeypatch):
    trainers = run_without_tensorflow(monkeypatch)
    again = gossipfl_("simulate", "--resume", "undisturbed")
    assert (again.status, again.err, trainers) == (0, "", [])
    assert content(Path("undisturbed")) == undisturbed


def test_other_data_are_refused_and_nothing_is_lost(gossipfl_, monkeypatch):
    stop_training(monkeypatch, 4, KeyboardInterrupt())
    gossipfl_("simulate", "toy.toml", "--output", "run", "--checkpoint-every", "1")
    before = content(Path("run"))
    manifest = json.loads(Path("run/manifest.json").read_text())
    manifest["data"]["digest"] = "0" * 64
    Path("run/manifest.json").write_text(json.dumps(manifest))
    run_without_tensorflow(monkeypatch)
    outcome = gossipfl_("simulate", "--resume", "run")
    assert outcome.status == 1
    assert "the data are not those that the run in run began with" in outcome.err
    assert content(Path("run")) == before
    assert newest_checkpoint(Path("run/checkpoints")) is not None


def test_another_environment_is_noted_in_the_report(gossipfl_, monkeypatch):
    stop_training(monkeypatch, 4, KeyboardInterrupt())
    gossipfl_("simulate", "toy.toml", "--output", "run", "--checkpoint-every", "1")
    run_without_tensorflow(monkeypatch)
    monkeypatch.setattr(SoftmaxTrainer, "flags", {"backend": "numpy 3"})
    assert gossipfl_("simulate", "--resume", "run").status == 0
    assert "went on in another environment (backend numpy, then numpy 3)" in Path("run/report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "run", "--seeds", "2"], "leave out --seeds and --output"),
        (["--resume", "run", "--set", "rounds=3"], "leave out --set and --data, or name the scenario, too"),
        (["--resume", "nowhere"], "nowhere is not the directory of a run: there is no manifest.json in it"),
    ],
)
def test_what_cannot_be_resumed_is_said_in_a_line(gossipfl_, arguments, message):
    outcome = gossipfl_("simulate", *arguments)
    assert outcome.status == 1
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_run_over_http_goes_on_elsewhere(gossipfl_):
    outcome = gossipfl_("compare", "toy.toml", "--engine", "http", "--checkpoint-every", "1")
    assert (outcome.status, "gossipfl peer ... --resume" in outcome.err) == (1, True)


def test_two_processes_do_not_go_on_with_one_run(gossipfl_, monkeypatch):
    stop_training(monkeypatch, 4, KeyboardInterrupt())
    gossipfl_("simulate", "toy.toml", "--output", "run", "--checkpoint-every", "1")
    before = content(Path("run"))
    hold = "import sys; from pathlib import Path; from gossipfl.files.whole_files import kept_for_this_process as k\n"
    hold += "with k(Path('run/weights')): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        outcome = gossipfl_("simulate", "--resume", "run")
        other.stdin.close()
    assert (outcome.status, "another process is at work in run" in outcome.err) == (1, True)
    assert content(Path("run")) == before


def test_kill_9_in_the_middle_of_a_write_leaves_the_checkpoint_before(tmp_path):
    write = (
        "import sys; import numpy as np; from pathlib import Path\n"
        "from gossipfl.files.checkpoints import CheckpointWriter\n"
        "writer = CheckpointWriter(Path(sys.argv[1]))\n"
        "for number in range(1, 1000):\n"
        "    print(number, flush=True)\n"
        "    writer.write({'x': np.full(2_000_000, number)}, {})\n"
    )
    with subprocess.Popen([sys.executable, "-c", write, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        for line in writer.stdout:
            if int(line) == 4:
                writer.send_signal(signal.SIGKILL)
                break
    found = newest_checkpoint(tmp_path)
    assert found.number in (3, 4)
    assert (found.arrays["x"] == found.number).all()
    assert np.shape(found.arrays["x"]) == (2_000_000,)


@pytest.mark.parametrize(
    ("error", "said", "where"),
    [
        (FULL, "disk: No space left on device; what was written before is kept", "history"),
        (FULL, "disk: No space left on device; what was written before is kept", "checkpoint"),
        (FULL, "disk: No space left on device; what was written before is kept", "everything"),
        (MemoryError("9 GiB"), "there is not enough memory (9 GiB); what was written before is kept", "history"),
        (MemoryError(), "there is not enough memory; what was written before is kept", "everything"),
    ],
    ids=["rows", "checkpoints", "everything", "memory", "memory and report"],
)
def test_what_the_machine_refuses_is_a_sentence_and_the_run_goes_on_later(
    gossipfl_, undisturbed, monkeypatch, where, error, said
):
    """What was measured stays, there is a report of it, or it is said how to get it, and how to go on."""
    calls = count()

    def failing(name, works):
        def fail(*arguments, **options):
            if next(calls) >= 6:
                raise error
            return works(*arguments, **options)

        return name, fail

    with monkeypatch.context() as patch:
        if where in ("history", "everything"):
            patch.setattr(*failing("gossipfl.runs.directory.history_row", run_directory.history_row))
        if where == "checkpoint":
            patch.setattr(*failing("gossipfl.files.checkpoints.durable", checkpoints.durable))
        if where == "everything":
            patch.setattr(*failing("gossipfl.runs.manifest.write_whole", run_manifests.write_whole))
        outcome = gossipfl_("simulate", "toy.toml", "--seeds", "2", "--output", "run", "--checkpoint-every", "1")
    assert (outcome.status, outcome.err.count("\n")) == (1, 1)
    assert outcome.err.startswith(f"Error: {said}")
    assert "To go on: gossipfl simulate --resume run" in outcome.out
    if where == "everything":
        assert "For a report of what was measured, when there is room: gossipfl report run" in outcome.out
        assert gossipfl_("report", "run").status == 0
    else:
        assert "Report of what was measured: run/report.html" in outcome.out
    assert Path("run/history.jsonl").read_text()
    assert Path("run/report.html").exists()
    assert gossipfl_("simulate", "--resume", "run").status == 0
    assert content(Path("run")) == undisturbed


@pytest.mark.parametrize("damage", ["cut", "emptied"])
def test_damaged_checkpoints_are_said_and_the_algorithm_can_be_run_again(gossipfl_, undisturbed, monkeypatch, damage):
    stop_training(monkeypatch, 15, KeyboardInterrupt())
    gossipfl_("simulate", "toy.toml", "--seeds", "2", "--output", "run", "--checkpoint-every", "1")
    run_without_tensorflow(monkeypatch)
    before = content(Path("run"))
    for file in Path("run/checkpoints").iterdir():
        file.write_bytes(file.read_bytes()[:-1] if damage == "cut" else b"")
    outcome = gossipfl_("simulate", "--resume", "run")
    assert (outcome.status, outcome.err.count("\n")) == (1, 1)
    assert "damaged" in outcome.err
    assert "remove run/checkpoints to run its algorithm again from the beginning" in outcome.err
    assert content(Path("run")) == before
    shutil.rmtree("run/checkpoints")
    assert gossipfl_("simulate", "--resume", "run").status == 0
    assert content(Path("run")) == undisturbed


@pytest.mark.parametrize("garbage", [b"\x00\xff", b"null", b'{"format": 1}', b"[" * 100_000])
@pytest.mark.parametrize("name", ["manifest.json", "history.jsonl"])
def test_a_garbled_file_keeps_the_report_and_says_how_to_go_on(gossipfl_, monkeypatch, name, garbage):
    stop_training(monkeypatch, 15, KeyboardInterrupt())
    gossipfl_("simulate", "toy.toml", "--seeds", "2", "--output", "run", "--checkpoint-every", "1")
    run_without_tensorflow(monkeypatch)
    path = Path("run", name)
    whole = path.read_bytes()
    path.write_bytes(garbage if name == "manifest.json" else garbage + b"\n" + whole)
    for command in (("simulate", "--resume", "run"), ("export", "run", "--average", "--output", "x.keras")):
        outcome = gossipfl_(*command)
        if command[0] == "export" and name == "history.jsonl":
            continue  # it does not read it
        assert (outcome.status, outcome.err.count("\n")) == (1, 1)
        assert name in outcome.err
        assert "estore the file" in outcome.err
    again = gossipfl_("report", "run")
    assert (again.status, again.err) == (0, "")
    assert name in again.out
    assert name in Path("run/report.html").read_text()
    path.write_bytes(whole)
    assert gossipfl_("simulate", "--resume", "run").status == 0
