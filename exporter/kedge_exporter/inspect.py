"""What a `.keras` file contains, read as data. Imports neither Keras nor anything that could run what is inside.

A private copy is taken first: what is looked at here is what Keras loads later, whatever happens to the file meanwhile.
"""

import hashlib
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from kedge_exporter.errors import ModelRefused, ModelUnreadable
from kedge_exporter.keras_file.archive import CONFIG, METADATA, WEIGHTS, check_frame, check_members, content_start
from kedge_exporter.keras_file.config_json import OwnName, check_config, parse
from kedge_exporter.keras_file.private_copy import take_copy
from kedge_exporter.keras_file.weights_h5 import check_weights
from kedge_exporter.keras_file.window import Window

_CHUNK = 1 << 20
_VERSION = re.compile(r"\d[0-9A-Za-z.+-]{0,60}")
_UNREADABLE_ZIP = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError
)  # fmt: skip
"""What `zipfile` raises on a damaged, truncated or encrypted archive."""


@dataclass(frozen=True)
class Contents:
    """A whole `.keras` file: every member was read and its checksum was right.

    Attributes:
        path: the user's file.
        copy: what was inspected, and is to be loaded; None where `inspect` was given no place for it.
        keras_version: the version that saved it.
        class_name: the model's class, for instance `Functional`.
        config: `config.json`.
        layer_classes: every `class_name` in the config with how often it stands there.
        weight_bytes: of the model itself, without its optimizer's.
        own_names: classes and functions that Keras does not define; `--custom` must.
        sha256: of the file.
        content_sha256: over the members' names and bytes, sorted by name: the same after re-zipping.
    """

    path: Path
    copy: Path | None
    bytes: int
    keras_version: str
    class_name: str
    config: dict[str, Any] = field(repr=False)
    layer_classes: dict[str, int]
    weight_bytes: int
    own_names: tuple[OwnName, ...]
    sha256: str
    content_sha256: str


def inspect(path: Path, *, copy_into: Path | None = None, has_custom: bool = False) -> Contents:
    """Read a `.keras` file without running anything in it.

    Args:
        path: the user's file.
        copy_into: a private directory for the copy that Keras will load; without one there is no copy afterwards.
        has_custom: whether a module of the user's will answer for `own_names`; without one they are refused here.

    Raises:
        ModelUnreadable: missing, a directory, not a zip, truncated, or without the members of a `.keras` file.
        ModelRefused: it holds what no file that Keras saves holds, or what must not be loaded.
        OSError: the copy cannot be written.
    """
    if copy_into is not None:
        return _inspect(path, copy_into, has_custom=has_custom, is_kept=True)
    with tempfile.TemporaryDirectory(prefix="kedge-inspect-") as directory:
        return _inspect(path, Path(directory), has_custom=has_custom, is_kept=False)


def content_sha256_of(path: Path) -> str:
    """The `content_sha256` of a file, without looking into its members: cheap, and safe in the command's own process.

    Raises:
        ModelUnreadable, ModelRefused: as `inspect` raises for the archive.
    """
    try:
        with path.open("rb") as file, _opened(path, file) as archive:
            check_members(path, archive, path.stat().st_size)
            return _content_sha256(archive)
    except _UNREADABLE_ZIP as error:
        raise ModelUnreadable(f"{path}: damaged or truncated: {error}; copy or save it again") from error


def _inspect(path: Path, directory: Path, *, has_custom: bool, is_kept: bool) -> Contents:
    copy, sha256 = take_copy(path, directory)
    size = copy.stat().st_size
    try:
        with copy.open("rb") as file, _opened(path, file) as archive:
            check_members(path, archive, size)
            config = parse(path, CONFIG, archive.read(CONFIG))
            metadata = parse(path, METADATA, archive.read(METADATA))
            version, class_name = metadata.get("keras_version"), config.get("class_name")
            if not isinstance(version, str) or not _VERSION.fullmatch(version) or not isinstance(class_name, str):
                raise ModelRefused(f"{path}: {CONFIG} and {METADATA} do not describe a Keras 3 model")
            own_names = check_config(path, config)
            if own_names and not has_custom:
                raise ModelRefused(_not_defined(path, own_names))
            _check_has_inputs(path, config)
            content = _content_sha256(archive)
            with _weights(archive, file, directory) as (weights, length):
                weight_bytes = check_weights(path, weights, length)
    except _UNREADABLE_ZIP as error:
        raise ModelUnreadable(f"{path}: damaged or truncated: {error}; copy or save it again") from error
    return Contents(
        path=path,
        copy=copy if is_kept else None,
        bytes=size,
        keras_version=version,
        class_name=class_name,
        config=config,
        layer_classes=_count_classes(config),
        weight_bytes=weight_bytes,
        own_names=own_names,
        sha256=sha256,
        content_sha256=content,
    )


@contextmanager
def _opened(path: Path, file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    check_frame(path, file)
    with zipfile.ZipFile(file) as archive:
        yield archive


@contextmanager
def _weights(archive: zipfile.ZipFile, file: BinaryIO, directory: Path) -> Iterator[tuple[BinaryIO, int]]:
    """The weights as a file of their own, and its size: where they lie when stored, unpacked when deflated."""
    info = archive.getinfo(WEIGHTS)
    if info.compress_type == zipfile.ZIP_STORED:
        yield cast("BinaryIO", Window(file, content_start(file, info), info.file_size)), info.file_size
        return
    with tempfile.TemporaryFile(dir=directory) as unpacked, archive.open(info) as packed:
        while chunk := packed.read(_CHUNK):
            unpacked.write(chunk)
        unpacked.seek(0)
        yield cast("BinaryIO", unpacked), info.file_size


def _content_sha256(archive: zipfile.ZipFile) -> str:
    """Hash every member, sorted by name; reading to the end also checks each member's checksum."""
    digest = hashlib.sha256()
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        member, length = hashlib.sha256(), 0
        with archive.open(info) as file:
            while chunk := file.read(_CHUNK):
                member.update(chunk)
                length += len(chunk)
        if length != info.file_size:
            raise zipfile.BadZipFile(f"'{info.filename}' ends after {length:,} of {info.file_size:,} bytes")
        digest.update(f"{info.filename}\0{info.file_size}\0{member.hexdigest()}\n".encode())
    return digest.hexdigest()


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


def _not_defined(path: Path, own_names: tuple[OwnName, ...]) -> str:
    others = f" (and {len(own_names) - 1} more)" if len(own_names) > 1 else ""
    return (
        f"{path}: {CONFIG}: {own_names[0]}{others} is not part of Keras; give the Python module that defines it with "
        "--custom module.py, if you trust that module: it is run"
    )


def _check_has_inputs(path: Path, config: dict[str, Any]) -> None:
    """Refuse what the configuration alone shows to have no inputs."""
    inner = config.get("config")
    if config["class_name"] != "Functional" or not isinstance(inner, dict):
        return
    if not inner.get("input_layers"):
        raise ModelRefused(f"{path}: the model has no inputs; a model to serve takes at least one")
