"""What `docs/models.md` shows runs, and does what it says."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from gossipfl.data.conversion import model_inputs
from gossipfl.experiments.fairness import sharing
from gossipfl.experiments.loaded_data import load_data
from gossipfl.results.simulation import initialize
from gossipfl.runs.export import save
from gossipfl.scenario import Scenario

RING = {"generator": "cycle_graph", "arguments": {"n": 4}}
TEXT = (Path(__file__).parents[1] / "docs" / "models.md").read_text("utf-8")
TABLES = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_features_are_normalised_and_classes_balanced_alike(tmp_path):
    """And whoever gets the model gives it the examples as they are."""
    keras = pytest.importorskip("keras")
    (text,) = [one for one in TABLES if "normalize" in one]
    given = tomllib.loads(text)
    digits = {"max_train": 400, "max_test": 80, "partition": {"name": "labels", "per_peer": 3}}
    scenario = Scenario(**given | {"data": given["data"] | digits}, topology=RING, algorithms=["synchronous"])
    simulation = initialize(scenario)
    experiment, x = simulation.experiment, load_data(scenario).train.x.astype(np.float64)
    mean, variance, _ = experiment.trainer.constants.arrays
    assert mean == np.float32(x.mean()), "the nearest float32"
    assert variance == np.float32(x.var())
    history = simulation.run()
    assert history.last.round == experiment.rounds == -(-4000 // (20 * 4 * 25))
    save(simulation.model(), tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    test = experiment.dataset.test
    right = loaded.predict(model_inputs(test.x), verbose=0).argmax(axis=1) == test.y
    assert right.mean() == pytest.approx(history.last.average_accuracy, abs=1e-6)


@pytest.mark.slow
def test_a_personal_head_stays_at_its_peer():
    pytest.importorskip("keras")
    (text,) = [one for one in TABLES if "[sharing]" in one]
    scenario = Scenario(**tomllib.loads(text), topology=RING, training={"steps": 2})
    simulation = initialize(scenario, "fedavg")
    assert simulation.run().failure is None
    (note,) = sharing(scenario, simulation.experiment.trainer)
    assert note.startswith("Of the 55,210 numbers of the model, 2,010 stay at each peer (mlp/head/kernel,")
    assert "212,800 bytes of them, 8,040 less than with all" in note
    first, second = (simulation.model(peer).get_layer("head").bias.numpy() for peer in ("0", "1"))
    assert (first != second).any()
    average = simulation.model().get_layer("head").bias.numpy()
    others = [simulation.model(peer).get_layer("head").bias.numpy() for peer in "0123"]
    assert average == pytest.approx(sum(others) / 4, abs=1e-7)


@pytest.mark.slow
def test_a_step_of_ones_own_trains():
    keras, tf = pytest.importorskip("keras"), pytest.importorskip("tensorflow")
    (text,) = [one for one in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "train_step" in one]
    defined = {"keras": keras, "tf": tf}
    exec(text, defined)

    def build():
        inputs = keras.Input((8, 8, 1))
        hints = keras.layers.Dense(3)(flat := keras.layers.Flatten()(inputs))
        model = defined["Distilled"](inputs, keras.layers.Dense(10, "softmax")(flat))
        model.hints = keras.Model(inputs, hints)
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    scenario = Scenario(model=build, rounds=1, topology=RING, training={"steps": 2}, algorithms=["fedavg", "fedprox"])
    history = initialize(scenario, "fedavg").run()
    assert history.failure is None
    assert history.last.loss.training < 4
    with pytest.raises(ValueError, match="corrects or sums the gradients of peers"):
        initialize(scenario, "fedprox").run()


@pytest.mark.slow
def test_of_a_backbone_adapters_and_biases_are_trained(monkeypatch):
    hub = pytest.importorskip("keras_hub")
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16, "max_sequence_length": 8}
    tiny = staticmethod(lambda name: hub.models.GPT2Backbone(vocabulary_size=50, **sizes))  # nothing is fetched
    monkeypatch.setattr(hub.models.GPT2Backbone, "from_preset", tiny)
    (text,) = [one for one in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "keras_hub" in one]
    defined = {}
    exec(text, defined)
    trained = {variable.path.rpartition("/")[2] for variable in defined["model"]().trainable_variables}
    assert {"lora_kernel_a", "lora_kernel_b", "bias"} <= trained
    assert "kernel" not in trained


def test_patterns_of_the_table_are_patterns():
    for table in re.findall(r"\| `((?:local|frozen) = .*?)` \|", TEXT):
        assert Scenario(sharing=tomllib.loads(table)).sharing.patterns


def test_momenta_of_what_is_local_are_not_averaged():
    given = {"name": "synchronous", "optimizer_state": "average"}
    with pytest.raises(ValueError, match=r"'synchronous' averages the state of the optimizer.*sharing\.local"):
        Scenario(sharing={"local": ["head"]}, algorithms=[given])
    assert Scenario(sharing={"frozen": ["head"]}, algorithms=[given])
