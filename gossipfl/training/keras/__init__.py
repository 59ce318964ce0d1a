"""Training with Keras: many peers of one model in one compiled call. TensorFlow's notes are left out."""

from gossipfl.data.quiet_tensorflow import tensorflow_quietly

tensorflow_quietly()
