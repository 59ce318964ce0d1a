"""`gossipfl` without TensorFlow as processes: what a test starts in place of `python -m gossipfl`.

A fork server has imported everything, so that each costs milliseconds.
"""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from unittest.mock import patch

import pytest
from softmax_trainer import run_without_tensorflow

from gossipfl.cli.app import main
from gossipfl.data.sources import load
from gossipfl.deploy import peer_process  # noqa: F401 (each would import it anew)

load("digits")  # with scikit-learn

_FORK_SERVER = multiprocessing.get_context("forkserver")


def run(words: Sequence[str], directory: str, log: str) -> None:
    """Run the command line in a directory; its output goes to `log`."""
    os.chdir(directory)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(written, stream)
    run_without_tensorflow(pytest.MonkeyPatch())
    sys.argv = ["gossipfl", *words]
    main()


def start(words: Sequence[str], log: str) -> ForkServerProcess:
    """Start a command in this directory."""
    _FORK_SERVER.set_forkserver_preload(["softmax_peer"])
    with patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}):
        forkserver.ensure_running()
    process = _FORK_SERVER.Process(target=run, args=(list(words), str(Path.cwd()), log))
    process.start()
    return process
