"""Optimizers, losses and models of Keras that are handed over as they are."""

import inspect

import keras
import networkx as nx
import numpy as np
import pytest

from gossipfl.errors import ConfigurationError
from gossipfl.scenario import Scenario
from gossipfl.training.keras.named import made, named
from gossipfl.training.keras.optimizers import made_optimizer
from gossipfl.training.keras.written import written


def classes(module, base):
    nested = {"LossScaleOptimizer", "MultiOptimizer"}
    found = [one for one in vars(module).values() if inspect.isclass(one) and issubclass(one, base)]
    return [one for one in found if one is not base and one.__name__ not in nested]


@pytest.mark.parametrize("kind", classes(keras.optimizers, keras.optimizers.Optimizer))
def test_every_optimizer_is_made_again_from_what_is_written(kind):
    given = kind(keras.optimizers.schedules.CosineDecay(0.1, 100) if kind is keras.optimizers.SGD else 0.03, clipnorm=2)
    again = made_optimizer(written(given))
    config, expected = again.get_config(), given.get_config()
    assert type(again) is kind
    assert {**config, "name": ""} == {**expected, "name": ""}


@pytest.mark.parametrize("kind", classes(keras.losses, keras.losses.Loss))
def test_every_loss_is_made_again_from_what_is_written(kind):
    taken = inspect.signature(kind).parameters
    others = {"from_logits": True, "delta": 2.0, "gamma": 3.0, "axis": -2, "reduction": "sum"}
    for given in (kind(), kind(**{name: value for name, value in others.items() if name in taken})):
        loss_class, config = named("loss", written(given), keras.losses, keras.losses.Loss)
        again = made("loss", loss_class, config)
        assert type(again) is kind
        assert (again.get_config(), again._fn_kwargs) == (given.get_config(), given._fn_kwargs)


def test_only_what_is_unusual_is_written():
    assert written(keras.optimizers.SGD(0.1, momentum=0.9)) == {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}
    assert written(keras.losses.Huber(2.0)) == {"name": "huber", "delta": 2.0}
    assert written(keras.losses.SparseCategoricalCrossentropy()) == {
        "name": "sparse_categorical_crossentropy",
        "from_logits": False,
    }


class Own(keras.optimizers.SGD):
    pass


class OwnLoss(keras.losses.Huber):
    pass


def excluding():
    optimizer = keras.optimizers.AdamW()
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.parametrize(
    "given",
    [
        Own(),
        excluding(),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
        OwnLoss(),
        keras.layers.Dense(3),
    ],
)
def test_what_a_scenario_cannot_say_is_refused_with_a_way_on(given):
    with pytest.raises(ConfigurationError, match=r"compile the model with it|expected an optimizer or a loss of Keras"):
        written(given)


def test_a_scenario_takes_them():
    scenario = Scenario(
        training={"optimizer": keras.optimizers.Adam(0.01), "loss": keras.losses.MeanSquaredError()},
        algorithms=[{"name": "pairwise", "optimizer": keras.optimizers.SGD(0.5)}],
    )
    assert scenario.training.optimizer == {"name": "adam", "learning_rate": 0.01}
    assert scenario.training.loss == {"name": "mean_squared_error"}
    assert scenario.algorithms[0].optimizer == {"name": "sgd", "learning_rate": 0.5}
    assert Scenario(**scenario.model_dump()) == scenario


class TestABuiltModel:
    @staticmethod
    def built(seed: int = 1) -> keras.Model:
        keras.utils.set_random_seed(seed)
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)],
            name="mine",
        )
        model.compile(keras.optimizers.SGD(0.25), keras.losses.Huber(2.0), metrics=["mae"])
        return model

    def test_it_is_copied_with_the_weights_that_it_had(self):
        model = self.built()
        weights = model.get_weights()
        build = Scenario(model=model).model
        model.set_weights([np.zeros_like(array) for array in weights])
        first, second = build(), build()
        for copy in (first, second):
            assert all(np.array_equal(a, b) for a, b in zip(copy.get_weights(), weights, strict=True))
            assert copy.optimizer.get_config()["learning_rate"] == 0.25
            assert copy.loss._fn_kwargs == {"delta": 2.0}
        assert first.optimizer is not second.optimizer is not model.optimizer
        assert not first.optimizer.built

    def test_its_name_stands_in_files(self):
        assert Scenario(model=self.built()).model_dump()["model"] == "given:mine"

    def test_one_without_variables_is_refused(self):
        with pytest.raises(ConfigurationError, match="its input is not known"):
            Scenario(model=keras.Sequential([keras.layers.Dense(3)]))

    def test_one_that_cannot_be_copied_is_refused(self):
        class Closed(keras.Model):
            def __init__(self, layer):
                super().__init__()
                self.layer = layer

            def call(self, x):
                return self.layer(x)

        model = Closed(keras.layers.Dense(2))
        model(np.ones((1, 3)))
        with pytest.raises(ConfigurationError, match="give the function that builds it"):
            Scenario(model=model).model()


def test_a_graph_of_networkx_is_a_topology():
    scenario = Scenario(topology=nx.karate_club_graph(), algorithms=[{"name": "pairwise"}])
    assert list(scenario.graph()) == [str(node) for node in range(34)]
    assert "not used: club, weight of links" in scenario.graph().graph["taken_for"]
    assert Scenario(**scenario.model_dump(mode="json")).graph().edges == scenario.graph().edges
    one_way = Scenario(topology=nx.cycle_graph(4, nx.DiGraph()), algorithms=["sgp"])
    assert one_way.graph().is_directed()
    with pytest.raises(ConfigurationError, match=r"not connected|reach"):
        Scenario(topology=nx.Graph([(0, 1), (2, 3)]))


def test_two_graphs_without_a_name_are_told_apart():
    two = [{"name": "pairwise", "topology": graph} for graph in (nx.path_graph(4), nx.cycle_graph(4))]
    scenario = Scenario(topology=nx.path_graph(4), algorithms=two)
    assert scenario.labels == ["pairwise (peers)", "pairwise (peers 2)"]
