"""What a run directory says may come from another host: none of it chooses code, and a module of a user's comes from
where its user put it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from softmax_trainer import SoftmaxTrainer, run_without_tensorflow

import gossipfl
from gossipfl.errors import ConfigurationError
from gossipfl.names.user_functions import user_function
from gossipfl.runs.export import export
from gossipfl.scenario import Scenario

PAYLOAD = "from pathlib import Path\nPath('ran').touch()\ndef build():\n    Path('ran').touch()\n"

TOY = """
name = "toy"
rounds = 2
targets = [0.3]
model = "softmax"
data = { source = "digits", partition = "iid", max_train = 80, max_test = 40 }
topology = { name = "ring", arguments = { n = 4 } }
algorithms = ["pairwise"]
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current directory, which is on no path; what was imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, text: str = PAYLOAD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class TestWhereAModuleMayLie:
    def test_a_file_in_the_current_directory(self, here):
        write(here / "own_of_test.py", "def build(): return 1")
        assert user_function("own_of_test:build")() == 1
        assert sys.path[-1] == str(here)

    def test_a_package_in_the_current_directory(self, here):
        write(here / "package_of_test/__init__.py", "")
        write(here / "package_of_test/models.py", "def build(): return 2")
        assert user_function("package_of_test.models:build")() == 2

    def test_no_directory_that_is_no_package(self, here):
        write(here / "runs_of_test/a/payload.py")
        with pytest.raises(ConfigurationError, match=r"'runs_of_test' is the directory .*runs_of_test, and no package"):
            user_function("runs_of_test.a.payload:build")
        assert not Path("ran").exists()

    def test_not_below_a_package_either(self, here):
        write(here / "package_of_test2/__init__.py", "")
        write(here / "package_of_test2/runs/payload.py")
        with pytest.raises(ConfigurationError, match=r"'package_of_test2.runs' is the directory .*no package"):
            user_function("package_of_test2.runs.payload:build")
        assert not Path("ran").exists()

    @pytest.mark.parametrize("module", ["payload_of_test", "run_of_test.payload"])
    def test_no_run_directory_not_even_when_it_is_the_current_one(self, here, module):
        write(here / "run_of_test/__init__.py", "")
        for run in (here, here / "run_of_test"):
            write(run / "manifest.json", "{}")
            write(run / "history.jsonl", "")
        write(here / "payload_of_test.py")
        write(here / "run_of_test/payload.py")
        with pytest.raises(ConfigurationError, match=r"in the run directory .*which may come from another host"):
            user_function(f"{module}:build")
        assert not Path("ran").exists()

    def test_the_current_directory_is_not_looked_at_for_what_is_installed_or_nowhere(self, here):
        write(here / "numpy.py")
        before = list(sys.path)
        assert user_function("numpy.random:get_state") is np.random.get_state
        with pytest.raises(ConfigurationError, match="cannot import module 'nowhere_of_test'"):
            user_function("nowhere_of_test:build")
        assert sys.path == before
        assert not Path("ran").exists()

    def test_what_is_installed_without_an_init_is_a_package(self, here, monkeypatch):
        write(here / "site/namespace_of_test/models.py", "def build(): return 3")
        monkeypatch.setattr(sys, "path", [*sys.path, str(here / "site")])
        monkeypatch.setattr("site.getsitepackages", lambda: [str(here / "site")])
        assert user_function("namespace_of_test.models:build")() == 3


@pytest.mark.parametrize("how", ["--help", "scenario list"])
def test_python_m_does_not_look_into_the_current_directory(tmp_path, how):
    """Neither for what gossipfl needs, nor for what a library would like to have and is not installed."""
    for name in ("typer", "networkx", "rich", "shlex", "colorama"):
        write(tmp_path / f"{name}.py")
    arguments = [sys.executable, "-m", "gossipfl", *how.split()]
    ended = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not (tmp_path / "ran").exists()


def run_directory(path: Path, model: str, training: dict[str, object] | None = None) -> Path:
    """As a peer leaves one, but for its measurements."""
    segments = [["softmax/kernel", [64, 10], "float32"], ["softmax/bias", [10], "float32"]]
    manifest = {
        "format": 1,
        "mode": {"command": "peer", "engine": "HTTP between processes"},
        "name": "toy",
        "peer": "a",
        "scenario": {"model": model, "training": training or {}},
        "model": {
            "task": {"x": "float32[8,8,1]", "y": "int32[]", "num_classes": 10, "kind": "classes"},
            "segments": segments,
            "statistics_segments": [],
        },
        "algorithms": [{"label": "pairwise"}],
        "seeds": [0],
    }
    write(path / "manifest.json", json.dumps(manifest))
    write(path / "history.jsonl", "")
    (path / "weights").mkdir()
    save_file({"weights": np.arange(650, dtype=np.float32)}, path / "weights/final.safetensors")
    return path


class TestExport:
    @pytest.mark.parametrize("model", ["payload_of_test:build", "runs.a.payload:build", "os:getcwd"])
    def test_a_function_that_a_run_directory_names_is_not_imported(self, here, model):
        write(here / "payload_of_test.py")
        run = run_directory(here / "runs/a", model)
        write(run / "payload.py")
        with pytest.raises(ConfigurationError, match=f"the model of runs/a is the function '{model}'.*--scenario"):
            export(Path("runs/a"), "a", None, None, here / "out.keras")
        assert not Path("ran").exists()
        assert not (here / "out.keras").exists()

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
    def test_the_users_scenario_says_how_the_model_is_built(self, here):
        write(
            here / "own_of_test3.py",
            "import keras\n"
            "def build():\n"
            "    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])\n",
        )
        own = Scenario(model="own_of_test3:build", training={"optimizer": "adam"}, algorithms=["local"])
        run = run_directory(here / "a", "payload:build", {"optimizer": "no_such"})
        export(run, "a", None, None, here / "out.keras", own)
        import keras

        model = keras.models.load_model(here / "out.keras")
        assert np.concatenate([w.ravel() for w in model.get_weights()]).tolist() == list(range(650))
        assert isinstance(model.optimizer, keras.optimizers.Adam)

    @pytest.mark.slow
    @pytest.mark.parametrize("shape", ["1000000,1000000,1000000", "8,8,-1", "8,8,0", "8,8,1,1,1,1" + 99 * "0", ""])
    def test_a_shape_that_cannot_be_is_a_sentence(self, here, shape):
        run = run_directory(here / "a", "cnn")
        manifest = json.loads((run / "manifest.json").read_text())
        manifest["model"]["task"]["x"] = f"float32[{shape}]"
        write(run / "manifest.json", json.dumps(manifest))
        with pytest.raises(ConfigurationError, match=r"no model can be made|not what a run writes|needs images"):
            export(run, "a", None, None, here / "out.keras")

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "training",
        [
            {
                "loss": {
                    "name": "sparse_categorical_crossentropy",
                    "dtype": {"module": "payload", "class_name": "Build"},
                }
            },
            {"optimizer": {"name": "sgd", "loss_scale_factor": {"module": "payload", "class_name": "Build"}}},
            {
                "optimizer": {
                    "name": "sgd",
                    "learning_rate": {"name": "exponential_decay", "decay_steps": [{"module": "payload"}]},
                }
            },
        ],
    )
    def test_no_object_is_made_of_a_table_in_the_optimizer_or_the_loss(self, here, training):
        write(here / "payload.py")
        run = run_directory(here / "a", "softmax", training)
        with pytest.raises(ConfigurationError, match=r"training\.(loss|optimizer).* is a table, expected a number or"):
            export(run, "a", None, None, here / "out.keras")
        assert not Path("ran").exists()


class TestResume:
    @pytest.fixture
    def stopped(self, command_line, monkeypatch) -> Path:
        class Stopped(SoftmaxTrainer):
            def train(self, jobs):
                raise KeyboardInterrupt

        run_without_tensorflow(monkeypatch, Stopped)
        write(Path("toy.toml"), TOY)
        write(
            Path("mine_of_test.py"),
            "def data():\n    x, y = [[[0.0]], [[1.0]]] * 8, [0, 1] * 8\n    return (x, y), (x, y)",
        )
        return Path("run")

    def test_functions_need_the_scenario_and_it_is_in_the_hint(self, command_line, stopped, monkeypatch):
        named = ["toy.toml", "--data", "mine_of_test:data"]
        outcome = command_line("simulate", *named, "--output", "run")
        hint = "gossipfl simulate toy.toml --data mine_of_test:data --resume run"
        assert f"To go on: {hint}" in outcome.out
        run_without_tensorflow(monkeypatch)
        refused = command_line("simulate", "--resume", "run")
        assert (refused.status, refused.out, refused.err.count("\n")) == (1, "", 1)
        assert "the data.source of run is the function 'mine_of_test:data'" in refused.err
        assert "(gossipfl simulate SCENARIO --resume run)" in refused.err
        assert command_line(*hint.split()[1:]).status == 0

    def test_without_functions_none_is_needed_and_the_wrong_one_is_refused(self, command_line, stopped, monkeypatch):
        outcome = command_line("compare", "toy.toml", "--output", "run")
        assert "To go on: gossipfl compare --resume run" in outcome.out
        run_without_tensorflow(monkeypatch)
        refused = command_line("compare", "toy.toml", "--set", "rounds=3", "--resume", "run")
        assert (refused.status, "(rounds was 2, and is 3)" in refused.err) == (1, True)
        Path("own").write_text("mine")
        for link in ("pairwise-seed0.average.safetensors", "pairwise-seed0.peers.safetensors"):
            Path("run/weights", link).unlink(missing_ok=True)
            Path("run/weights", link).symlink_to(Path("own").resolve())
        assert command_line("compare", "toy.toml", "--resume", "run").status == 0
        assert Path("own").read_text() == "mine"  # what is written takes the place of such a link


def test_gossipfl_is_the_checkout_under_test():
    assert Path(gossipfl.__file__).parents[1] == Path(__file__).parents[2]


def test_a_report_is_written_into_the_directory_and_not_where_links_in_it_lead(command_line):
    """A directory from elsewhere may hold links in the places of what is written, and of what is written before."""
    write(Path("toy.toml"), TOY)
    assert command_line("simulate", "toy.toml", "--output", "run").status == 0
    names = ("history.parquet", "summary.json", "report.html")
    for name in names:
        Path("run", name).unlink()
        for link in (name, f".{name}.unfinished"):
            Path(f"own-{link}").write_text("mine")
            Path("run", link).symlink_to(Path(f"own-{link}").resolve())
    assert command_line("report", "run").status == 0
    assert {path.read_text() for path in Path().glob("own-*")} == {"mine"}
    assert all(Path("run", name).is_file() and not Path("run", name).is_symlink() for name in names)
