"""Shared by all tests: the folder of fakes and oracles is importable, and nothing of the user's machine leaks in."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
