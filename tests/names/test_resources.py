import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import gossipfl
from gossipfl.errors import ConfigurationError
from gossipfl.names.resources import FOLDERS, folder, names

ROOT = Path(gossipfl.__file__).parents[1]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_checkout_has_its_folders_beside_the_package(name):
    assert folder(name) == ROOT / name


def test_another_folder_is_refused_with_the_ones_there_are():
    with pytest.raises(ConfigurationError, match="no folder 'models', only simulations and topologies"):
        folder("models")


def test_names_are_those_of_the_files_with_the_suffix(tmp_path, monkeypatch):
    monkeypatch.setattr("gossipfl.names.resources._PACKAGE", tmp_path)
    files = tmp_path / "_files" / "topologies"
    (files / "folder.toml").mkdir(parents=True)
    for name in ("torus.toml", "ring.toml", "README.md", "dolphins.graphml"):
        (files / name).touch()
    assert folder("topologies") == files
    assert names("topologies") == ["ring", "torus"]
    assert names("topologies", ".graphml") == ["dolphins"]


def test_a_folder_of_the_same_name_beside_an_installed_package_is_not_taken(tmp_path, monkeypatch):
    (tmp_path / "gossipfl").mkdir()
    (tmp_path / "topologies").mkdir()
    monkeypatch.setattr("gossipfl.names.resources._PACKAGE", tmp_path / "gossipfl")
    with pytest.raises(ConfigurationError, match=r"'topologies' is neither in .* install gossipfl again"):
        folder("topologies")


@pytest.mark.slow
def test_a_wheel_brings_its_folders(tmp_path):
    pytest.importorskip("hatchling", reason="the build backend is not installed here")
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "tests", "docs", "runs", "__pycache__", "build"))
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "dist")]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").glob("gossipfl-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    question = "from gossipfl.names.resources import folder, names; print(folder('topologies'), *names('topologies'))"
    answer = subprocess.run(
        [sys.executable, "-c", question], cwd=tmp_path / "installed", check=True, capture_output=True, text=True
    )
    where, *found = answer.stdout.split()
    assert Path(where) == tmp_path / "installed" / "gossipfl" / "_files" / "topologies"
    assert found == names("topologies")
    simulations = tmp_path / "installed" / "gossipfl" / "_files" / "simulations"
    assert sorted(path.stem for path in simulations.glob("*.toml")) == names("simulations")
