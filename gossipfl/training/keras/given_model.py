"""A Keras model that was built already, as the function that a scenario has for its model."""

import keras

from gossipfl.errors import ConfigurationError
from gossipfl.training.keras.named import first_line


class GivenModel:
    """Builds copies of a model: its layers anew, compiled as it is, with the weights that it had when it was given.

    So all peers begin with these weights, whatever the seed.
    """

    def __init__(self, model: keras.Model) -> None:
        if not model.built:
            raise ConfigurationError(
                f"the model {model.name!r} has no variables yet, because its input is not known: begin it with "
                "keras.Input, call it once, or give the function that builds it"
            )
        self._model = model
        self._weights = model.get_weights()
        self.__module__, self.__qualname__ = "given", model.name  # how files name it

    def __call__(self) -> keras.Model:
        try:
            copy = keras.models.clone_model(self._model)
            if self._model.compiled:
                config = keras.saving.deserialize_keras_object(self._model.get_compile_config())
                copy.compile(**{**config, "loss": self._model.loss})  # Keras 3.15 forgets Huber's delta
            copy.set_weights(self._weights)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise ConfigurationError(
                f"the model {self._model.name!r}, which was given built, cannot be copied ({first_line(error)}): give "
                "the function that builds it"
            ) from error
        return copy
