"""What a `.keras` file contains, read as data. Imports neither Keras nor anything that could run what is inside."""

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kedge_bundle.store import sha256_of
from kedge_exporter.errors import ModelRefused, ModelUnreadable

_CONFIG, _METADATA = "config.json", "metadata.json"
_WEIGHTS = ("model.weights.h5", "model.weights.npz")
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_BYTECODE = "__lambda__"
_CHUNK = 1 << 20
_UNREADABLE_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What `zipfile` raises on a damaged, truncated or encrypted archive."""


@dataclass(frozen=True)
class Contents:
    """A whole `.keras` file: every member was read and its checksum was right.

    Attributes:
        keras_version: the version that saved it.
        class_name: the model's class, for instance `Functional`.
        config: `config.json`.
        layer_classes: every `class_name` in the config with how often it stands there.
        sha256: of the file.
        content_sha256: over the members' names and bytes, sorted by name: the same after re-zipping.
    """

    path: Path
    bytes: int
    keras_version: str
    class_name: str
    config: dict[str, Any] = field(repr=False)
    layer_classes: dict[str, int]
    sha256: str
    content_sha256: str


def inspect(path: Path) -> Contents:
    """Read a `.keras` file without running anything in it.

    Raises:
        ModelUnreadable: missing, a directory, not a zip, truncated, or without the members of a `.keras` file.
        ModelRefused: its configuration is not one of a Keras 3 model, or it has no inputs.
    """
    _check_is_zip(path)
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            _check_members(path, names)
            content = _content_sha256(archive)
            config, metadata = _json(archive, path, _CONFIG), _json(archive, path, _METADATA)
    except _UNREADABLE_ZIP as error:
        raise ModelUnreadable(f"{path}: damaged or truncated: {error}; copy or save it again") from error
    except OSError as error:
        raise ModelUnreadable(f"{path}: cannot be read: {error.strerror or error}") from error
    version, class_name = metadata.get("keras_version"), config.get("class_name")
    if not isinstance(version, str) or not isinstance(class_name, str):
        raise ModelRefused(f"{path}: {_CONFIG} and {_METADATA} do not describe a Keras 3 model")
    layers = _count_classes(config)
    _check_has_inputs(path, config)
    _check_classes(path, layers)
    return Contents(path, path.stat().st_size, version, class_name, config, layers, sha256_of(path), content)


def _check_is_zip(path: Path) -> None:
    try:
        if path.is_dir():
            raise ModelUnreadable(f"{path}: a directory; expected a .keras file, as model.save('model.keras') writes")
        with path.open("rb") as file:
            magic = file.read(len(_HDF5_MAGIC))
    except FileNotFoundError as error:
        raise ModelUnreadable(f"{path}: no such file") from error
    except OSError as error:
        raise ModelUnreadable(f"{path}: cannot be read: {error.strerror or error}") from error
    if magic == _HDF5_MAGIC:
        raise ModelUnreadable(
            f"{path}: an HDF5 file of the older Keras format; load it in Keras 3 and save it again as .keras"
        )
    if not magic:
        raise ModelUnreadable(f"{path}: an empty file")
    if not magic.startswith(b"PK"):
        raise ModelUnreadable(f"{path}: not a .keras file: expected a zip archive, it begins with {magic[:4]!r}")
    if path.suffix != ".keras":
        raise ModelUnreadable(f"{path}: expected the suffix .keras; Keras itself reads no other")


def _check_members(path: Path, names: list[str]) -> None:
    missing = [name for name in (_CONFIG, _METADATA) if name not in names]
    if not any(name in names for name in _WEIGHTS):
        missing.append(_WEIGHTS[0])
    if missing:
        raise ModelUnreadable(f"{path}: a zip archive, but no .keras file: {', '.join(missing)} missing inside")
    if len(set(names)) != len(names):
        raise ModelUnreadable(f"{path}: two members of the archive share a name; save the model again")


def _content_sha256(archive: zipfile.ZipFile) -> str:
    """Hash every member, sorted by name; reading to the end also checks each member's checksum."""
    digest = hashlib.sha256()
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        member = hashlib.sha256()
        with archive.open(info) as file:
            while chunk := file.read(_CHUNK):
                member.update(chunk)
        digest.update(f"{info.filename}\0{info.file_size}\0{member.hexdigest()}\n".encode())
    return digest.hexdigest()


def _json(archive: zipfile.ZipFile, path: Path, member: str) -> dict[str, Any]:
    try:
        document = json.loads(archive.read(member))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelRefused(f"{path}: {member} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ModelRefused(f"{path}: {member} is not a JSON object")
    return document


def _count_classes(config: dict[str, Any]) -> dict[str, int]:
    """Count every `class_name` in the configuration, nested models included; a loop, so that no depth is too deep."""
    counts: dict[str, int] = {}
    nodes: list[object] = [config]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            name = node.get("class_name")
            if isinstance(name, str):
                counts[name] = counts.get(name, 0) + 1
            nodes.extend(node.values())
        elif isinstance(node, list):
            nodes.extend(node)
    return counts


def _check_classes(path: Path, classes: dict[str, int]) -> None:
    """Refuse what would run code from the file."""
    if _BYTECODE in classes:
        raise ModelRefused(
            f"{path}: a Lambda layer holds Python bytecode, which is never run from a file; write it as a layer class "
            "in a module of yours, save the model again, and give the module with --custom"
        )


def _check_has_inputs(path: Path, config: dict[str, Any]) -> None:
    """Refuse what the configuration alone shows to have no inputs."""
    inner = config.get("config")
    if config["class_name"] != "Functional" or not isinstance(inner, dict):
        return
    if not inner.get("input_layers"):
        raise ModelRefused(f"{path}: the model has no inputs; a model to serve takes at least one")
