"""TensorFlow without the notes that it writes when it is imported."""

import os
import sys
import tempfile


def tensorflow_quietly() -> None:
    """Import TensorFlow without the notes on processors and drivers that it writes at start-up, which none of its
    settings silences; they show when the import fails. Where it is imported already nothing happens."""
    if "tensorflow" in sys.modules:
        return
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    standard_error = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except Exception:
            notes.seek(0)
            os.write(standard_error, notes.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            if level is None:
                del os.environ["TF_CPP_MIN_LOG_LEVEL"]
