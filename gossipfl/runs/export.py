"""Final weights of a run as files that Keras opens."""

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from gossipfl.errors import ConfigurationError, GossipFLError, SchemaMismatchError
from gossipfl.files.weight_files import BESIDE_WEIGHTS, file_stems
from gossipfl.runs.constant_files import read_constants
from gossipfl.runs.manifest import Manifest, RunModel, read_manifest
from gossipfl.scenario import Scenario
from gossipfl.scenario.own_scenario import refuse_functions
from gossipfl.training.model_files import KERAS_SUFFIXES, read_arrays, vectors_of
from gossipfl.weights import NOTHING, ModelVectors, StoredModel

if TYPE_CHECKING:
    import keras


_HDF5_OVERHEAD = 4096
"""Bytes for each variable and layer beside their numbers, and some for the file; measured: 1,000 to 3,000."""

_RESTORE = "Restore the file to export a model; the weights themselves are safetensors files in the folder `weights`."


def export(
    run: Path,
    peer: str | None,
    label: str | None,
    seed: int | None,
    output: Path,
    own: Scenario | None = None,
    *,
    best: bool = False,
) -> Path:
    """Write the final model of `peer`, or the average of all (peer None), to a `.keras` or `.weights.h5` file; or the
    `best` average of a run that looked for it.

    `run` is a run directory or that of one peer; `label` and `seed` choose among several algorithms and seeds. The
    model is built, and compiled, as the user's `own` scenario says; without one as the run says, if that is a built-in.
    Raises ConfigurationError when there is no such model, or something at `output` already.
    """
    if not output.name.endswith(KERAS_SUFFIXES):
        raise ConfigurationError(f"{output} should end in {' or '.join(KERAS_SUFFIXES)}")
    if output.exists():
        raise ConfigurationError(f"{output} is there already; give another --output, nothing was changed")
    manifest = read_manifest(run, _RESTORE)
    described = manifest.model
    if described is None or not manifest.seeds:
        raise ConfigurationError(f"{run} is of no single run: its manifest describes no model, or names no seed")
    scenario = _scenario(run, manifest) if own is None else own
    try:
        vectors = final_vectors(run, manifest, described, peer, label, seed, best=best)
        chosen = manifest.seeds[0] if seed is None else seed
        constants = read_constants(run / "weights", chosen, manifest.constants.get(str(chosen)))
        model = keras_model(described, scenario, chosen, StoredModel(vectors, constants))
    except SchemaMismatchError as error:
        raise ConfigurationError(f"the weights in {run} do not fit its model: {error}") from error
    save(model, output)
    return output


def save(model: "keras.Model", output: Path) -> None:
    """Write a model to a `.keras` file, or its variables to a `.weights.h5` file: whole, or not at all.

    Raises ConfigurationError when Keras cannot describe the model, and OSError when the disk says no.
    """
    unfinished = output.with_name(f".unfinished-{output.name}")
    try:
        if output.name.endswith(".keras"):
            _save_whole(model, unfinished, output.with_suffix(".weights.h5").name)
        else:
            _check_room(model, output)
            model.save_weights(unfinished)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)


def _check_room(model: "keras.Model", output: Path) -> None:
    """Raises OSError when the disk has no room: HDF5 takes the whole process down where a file cannot be written."""
    arrays = sum(variable.numpy().nbytes for variable in model.variables)
    needed = arrays + _HDF5_OVERHEAD * (1 + len(model.variables) + len(model.layers))
    if shutil.disk_usage(output.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(output))


def _save_whole(model: "keras.Model", path: Path, way_out: str) -> None:
    try:
        model.save(path)
    except OSError:
        raise
    except Exception as error:  # whatever a user's layer raises when it is asked for its configuration
        raise ConfigurationError(
            f"Keras cannot describe the model in a .keras file ({' '.join(str(error).split())}); give --output "
            f"{way_out} instead, which holds its weights only"
        ) from error


def final_vectors(
    run: Path,
    manifest: Manifest,
    model: RunModel,
    peer: str | None,
    label: str | None,
    seed: int | None,
    *,
    best: bool,
) -> ModelVectors:
    """The final model of a peer, or the average of all (peer None), or the `best` average; by label and seed, where
    there are several. Raises ConfigurationError when there is none."""
    kind = "best" if best else "average" if peer is None else "peers"
    path = run / "weights" / f"{_stem(manifest, label, seed)}.{kind}.safetensors"
    if best and not path.exists():
        raise ConfigurationError(f"there is no {path}: only a run whose scenario has `stop` looks for its best model")
    if manifest.peer is not None:
        if peer not in (None, manifest.peer):
            raise ConfigurationError(f"{run} is the run directory of peer {manifest.peer!r}, not of {peer!r}")
        path = run / "weights" / "final.safetensors"
    if not path.exists():
        raise ConfigurationError(f"there is no {path}: the run left no final weights")
    arrays = read_arrays(path)
    if manifest.peer is None and peer is not None:
        if (manifest.scenario.get("privacy") or {}).get("secure_aggregation"):
            raise ConfigurationError(
                f"the run had privacy.secure_aggregation, so that nobody sees the model of {peer} alone; leave --peer "
                "out, and the average of all is exported"
            )
        if peer not in arrays:
            peers = sorted(name for name in arrays if name.partition("/")[2] not in BESIDE_WEIGHTS)
            raise ConfigurationError(f"there is no peer {peer!r} in {run}; there are {', '.join(peers)}")
        arrays = {"weights": arrays[peer], **{part: arrays.get(f"{peer}/{part}", NOTHING) for part in BESIDE_WEIGHTS}}
    return vectors_of(arrays, model.schema_of_weights, model.schema_of_statistics, model.schema_of_local)


def _stem(manifest: Manifest, label: str | None, seed: int | None) -> str:
    labels = [algorithm.label for algorithm in manifest.algorithms]
    if label is None and len(labels) > 1:
        raise ConfigurationError(f"the run has {', '.join(labels)}; name one with --algorithm")
    if label is not None and label not in labels:
        raise ConfigurationError(f"the run has no algorithm {label!r}; it has {', '.join(labels)}")
    if seed is not None and seed not in manifest.seeds:
        raise ConfigurationError(f"the run has no seed {seed}; it has {', '.join(map(str, manifest.seeds))}")
    stems = file_stems(labels)
    return f"{stems[label or labels[0]]}-seed{manifest.seeds[0] if seed is None else seed}"


def _scenario(run: Path, manifest: Manifest) -> Scenario:
    """What the run says of its model; whoever wrote it chooses among built-in names only."""
    scenario = Scenario(
        **{key: value for key, value in manifest.scenario.items() if key in ("model", "training", "sharing")},
        data={"normalize": (manifest.scenario.get("data") or {}).get("normalize")},
    )
    refuse_functions(run, scenario, "gossipfl export ... --scenario SCENARIO")
    return scenario


def keras_model(described: RunModel, scenario: Scenario, seed: int, stored: StoredModel) -> "keras.Model":
    """A model as a scenario builds it, with weights of a run. Raises ConfigurationError when none can be built, and
    SchemaMismatchError when the weights are not its."""
    from gossipfl.training.keras.models import ModelRecipe
    from gossipfl.training.models import resolve
    from gossipfl.training.settings import TrainingSettings

    task = described.task.task
    settings = TrainingSettings(scenario.optimizer(), scenario.training.loss, sharing=scenario.sharing.patterns)
    # The model is a string: scenarios of files and manifests have no other models.
    build = resolve(scenario.model, task, normalizes=scenario.data.normalize is not None)
    try:
        return ModelRecipe(build, task, settings, seed).filled(stored)
    except GossipFLError:
        raise
    except Exception as error:  # whatever a model function or Keras raises for inputs of another shape
        raise ConfigurationError(
            f"no model can be made for inputs {task.x} and {task.num_classes} classes, as the "
            f"manifest says: {' '.join(str(error).split())[:500]}"
        ) from error
