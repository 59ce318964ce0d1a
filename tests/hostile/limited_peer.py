"""`gossipfl ARGUMENTS...` without TensorFlow, in a process that may have few files open: SOFT HARD ARGUMENTS..."""

import resource
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # for softmax_trainer.py

from softmax_trainer import run_without_tensorflow

from gossipfl.cli.app import main

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
    run_without_tensorflow(pytest.MonkeyPatch())
    sys.argv[:3] = ["gossipfl"]
    main()
