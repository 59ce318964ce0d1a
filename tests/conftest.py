"""Shared by all tests: fakes and oracles can be imported, and child processes run this checkout too."""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parent

sys.path.insert(0, str(TESTS))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS.parent), os.environ.get("PYTHONPATH")]))
