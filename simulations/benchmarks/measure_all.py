"""Runs all measurements of this folder in turn, and puts their tables into the README beside this file.

    python simulations/benchmarks/measure_all.py [NAME ...]

About a quarter of an hour on two cores, in which nothing else should run. With NAMEs, such as `scale`, those only.
"""

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
README = HERE / "README.md"
PACKAGES = ("gossipfl", "tensorflow", "keras", "numpy")


def processor() -> str:
    """As Linux names it."""
    names = re.findall(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return names[0] if names else platform.machine()


def machine() -> str:
    """Where, when and with what the measurements were made."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}: {len(os.sched_getaffinity(0))} cores ({processor()}), {gigabytes:.0f} GB,\n"
        f"{platform.system()}, Python {platform.python_version()}, {versions}."
    )


def with_results(text: str, name: str, results: str) -> str:
    """The README with what stands between the two marks of `name` replaced."""
    begin, end = f"<!-- {name} -->\n", "<!-- end -->"
    before, rest = text.split(begin)
    lines = "\n".join(line.rstrip() for line in results.strip().splitlines())
    return f"{before}{begin}\n{lines}\n\n{end}{rest.split(end, 1)[1]}"


def main(chosen: list[str]) -> None:
    names = [name for name in re.findall(r"<!-- (\w+) -->", README.read_text()) if name not in ("machine", "end")]
    unknown = set(chosen) - set(names)
    if unknown:
        sys.exit(f"there is no measurement {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    for name in chosen or names:
        words = [sys.executable, str(HERE / f"{name}.py")]
        ran = subprocess.run(words, stdout=subprocess.PIPE, text=True)
        if ran.returncode != 0:
            sys.exit(f"{name}.py ended with status {ran.returncode}; the README keeps its earlier results")
        README.write_text(with_results(with_results(README.read_text(), name, ran.stdout), "machine", machine()))


if __name__ == "__main__":
    main(sys.argv[1:])
