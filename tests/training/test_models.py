import sys

import pytest
from toy_data import toy_task

from gossipfl.errors import ConfigurationError
from gossipfl.training.models import MODELS, resolve
from gossipfl.training.settings import TrainingSettings


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_models_of_test.py").write_text(
        "LIMIT = 3\ndef small_net(size=4):\n    return size\ndef needs(shape, *, classes):\n    return shape\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "user_models_of_test"
    sys.modules.pop("user_models_of_test", None)


def test_a_user_function_is_found_by_path(user_module):
    assert resolve(f"{user_module}:small_net", toy_task(8, 8, 1))() == 4


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("softmx", "there is no model 'softmx'. Did you mean 'softmax'. There are softmax, mlp, cnn"),
        ("no_such_module_at_all:f", "cannot import module 'no_such_module_at_all'.*PYTHONPATH"),
        (":f", "'' is not the name of a module"),
        ("user_models_of_test:smal_net", "no function 'smal_net'. Did you mean 'user_models_of_test:small_net'"),
        ("user_models_of_test:LIMIT", "'LIMIT' is a int, expected a function without arguments"),
        ("user_models_of_test:needs", "the function needs the arguments shape, classes"),
        ("user_models_of_test:", "no function ''"),
        (".user_models_of_test:f", "'.user_models_of_test' is not the name of a module"),
    ],
)
def test_unknown_models_are_refused_with_the_nearest_spelling(user_module, path, message):
    with pytest.raises(ConfigurationError, match=message):
        resolve(path, toy_task(8, 8, 1))


def test_cnn_needs_images():
    with pytest.raises(ConfigurationError, match="'cnn' needs images"):
        resolve("cnn", toy_task(30))()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"evaluation_batch_size": 0}, "evaluation_batch_size must be >= 1, got 0"),
        ({"optimizer": {"learning_rate": 0.1}}, 'optimizer must have a "name"'),
        ({"loss": {"from_logits": True}}, 'loss must have a "name"'),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        TrainingSettings(**settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "num_parameters", "num_parameters_of_digits"),
    [("softmax", 7_850, 650), ("mlp", 199_210, 55_210), ("cnn", 44_426, 21_386)],
)
def test_built_in_models_have_the_sizes_of_the_papers(name, num_parameters, num_parameters_of_digits):
    pytest.importorskip("keras")
    assert resolve(name, toy_task(28, 28, 1))().count_params() == num_parameters
    assert resolve(name, toy_task(8, 8, 1))().count_params() == num_parameters_of_digits
    assert resolve(name, toy_task(8, 8))().count_params() == num_parameters_of_digits
    assert MODELS[name]((28, 28, 3), 7).output_shape == (None, 7)
