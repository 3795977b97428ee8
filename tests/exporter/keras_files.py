"""`.keras` files made by hand, without Keras: ordinary ones to begin with, and whatever a test wants to be wrong."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

METADATA = {"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}


def weights(change: Callable[[Any], None] | None = None) -> bytes:
    """The weights of one Dense layer as Keras lays them out, and what `change` adds to them."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        variables = file.create_group("layers/dense/vars")
        variables.attrs["name"] = "dense"
        variables["0"] = np.ones((3, 2), np.float32)
        variables["1"] = np.zeros(2, np.float32)
        if change is not None:
            change(file)
    return content.getvalue()


def layer(class_name: str = "Dense", module: str | None = "keras.layers", **config: object) -> dict[str, Any]:
    """One layer of a Functional model."""
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": class_name.lower(), **config},
        "registered_name": None,
        "name": class_name.lower(),
        "inbound_nodes": [],
    }


def model(*layers: dict[str, Any], **changed: object) -> dict[str, Any]:
    """The config of a Functional model with these layers."""
    config = {"name": "functional", "layers": list(layers), "input_layers": [["x", 0, 0]], "output_layers": []}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": "Functional",
        **changed,
    }


CONFIG = model(layer())


def members(**changed: object) -> dict[str, bytes]:
    """The members of an ordinary file; each can be replaced (`config__json=...`), None leaves it out."""
    found: dict[str, object] = {"metadata__json": METADATA, "config__json": CONFIG, "model__weights__h5": weights()}
    found |= changed
    return {
        name.replace("__", "."): content if isinstance(content, bytes) else json.dumps(content).encode()
        for name, content in found.items()
        if content is not None
    }


def keras_file(path: Path, compression: int = zipfile.ZIP_STORED, **changed: object) -> Path:
    """An ordinary file, with some members replaced, left out or added."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members(**changed).items():
            archive.writestr(name, content)
    return path
