"""Builds and saves models of the zoo: `python -m tests.zoo.build DIRECTORY NAME ...`; one JSON line each.

Exports run in another process, so that a model's own classes are known there from its file and `--custom` alone.
"""

import json
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tests.zoo.models import ZOO
from tests.zoo.registry import ZooModel
from tests.zoo.weights import vary


def save(model: ZooModel, directory: Path) -> dict[str, Any]:
    """Save one model and its samples, and tell what its file names."""
    path = directory / f"{model.name}.keras"
    if model.build is None:
        shutil.copyfile(model.file, path)
    else:
        keras.utils.clear_session()  # names that Keras makes up do not depend on the other models
        keras.utils.set_random_seed(11)
        built = model.build()
        (vary(built) if model.vary else built).save(path)
    if model.samples is not None:
        np.savez(directory / f"{model.name}.npz", **as_saved(model.samples()))
    with zipfile.ZipFile(path) as archive:
        config, metadata = (json.loads(archive.read(member)) for member in ("config.json", "metadata.json"))
    return {
        "name": model.name,
        "keras_bytes": path.stat().st_size,
        "keras_version": metadata["keras_version"],
        "classes": sorted({node["class_name"] for node in _nodes(config) if isinstance(node.get("class_name"), str)}),
        "activations": sorted(
            {node["activation"] for node in _nodes(config) if isinstance(node.get("activation"), str)}
        ),
    }


def as_saved(samples: dict[str, Any]) -> dict[str, Any]:
    """Object arrays of bytes as fixed-width bytes: an `.npz` holds no objects without pickle."""
    return {name: array.astype(np.bytes_) if array.dtype == object else array for name, array in samples.items()}


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every dict of a configuration."""
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from _nodes(branch)


def keras_names() -> dict[str, Any]:
    """What this Keras has: its public layer classes and activations, aliases under the names that files use."""
    public = [value for value in vars(keras.layers).values() if isinstance(value, type)]
    classes = {keras.src.api_export.get_name_from_symbol(value).rpartition(".")[2] for value in public}
    functions = {
        value.__name__ for name, value in vars(keras.activations).items() if callable(value) and name[0] != "_"
    }
    return {"layers": sorted(classes), "functions": sorted(functions - {"deserialize", "get", "serialize"})}


def main(directory: Path, names: list[str]) -> None:
    print(json.dumps(keras_names()), flush=True)
    for name in names:
        try:
            line = save(ZOO[name], directory)
        except Exception as error:  # noqa: BLE001 (one builder's fault is the outcome of one model)
            line = {"name": name, "fault": f"it was not built: {type(error).__name__}: {error}"}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
