"""The weights, read as HDF5 but not as arrays: groups and datasets inside this very file, of sizes that it holds.

HDF5 can point out of a file in four ways (external links, soft links, external storage, virtual datasets), can call
code for a filter that a file names, and can declare a shape of any size. Keras writes none of it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from kedge_exporter.errors import ModelRefused
from kedge_exporter.keras_file.archive import EXPANSION_FLOOR, MOST_EXPANSION

_MAGIC = b"\x89HDF\r\n\x1a\n"
_KINDS = frozenset("biufcS")
_MOST_OPAQUE = 2
"""Bytes: how Keras keeps bfloat16 and float8, which HDF5 has no type for."""
_MOST_OBJECTS = 200_000
_MOST_DEPTH = 128
_MOST_ATTRIBUTES, _MOST_ATTRIBUTE_BYTES = 64, 64 << 10
_FILTERS = frozenset({h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})
_LINKS = {h5py.SoftLink: "a soft link", h5py.ExternalLink: "a link to another file"}
_OPTIMIZER = "/optimizer/"
_AGAIN = "save the model again with model.save()"


@dataclass
class _Sizes:
    """What the datasets say of themselves, in bytes; `of_model` leaves out what only training needs."""

    declared: int = 0
    stored: int = 0
    of_model: int = 0


def check_weights(path: Path, file: BinaryIO, size: int) -> int:
    """Refuse weights that point elsewhere, need code, or are larger than what is stored.

    Args:
        path: named in the messages.
        file: the member's bytes, from its beginning to its end.
        size: how many there are.

    Returns:
        The bytes of the model's own weights, without the optimizer's.

    Raises:
        ModelRefused: they are no HDF5 file, or not one that Keras writes.
    """
    if file.read(len(_MAGIC)) != _MAGIC:
        raise _refused(path, "", "no HDF5 file")
    file.seek(0)
    try:
        with h5py.File(file, "r") as weights:
            sizes = _Sizes()
            for name, item in _objects(path, weights):
                _check_attributes(path, name, item)
                if isinstance(item, h5py.Dataset):
                    _check_dataset(path, name, item, sizes)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        reason = ascii(str(error))[1:200] if str(error) else type(error).__name__
        raise _refused(path, "", f"damaged: {reason}") from error
    if sizes.stored > size or sizes.declared > max(EXPANSION_FLOOR, MOST_EXPANSION * size):
        raise _refused(path, "", f"its datasets declare {sizes.declared:,} bytes, {size:,} are stored: a shape bomb")
    return sizes.of_model


def _objects(path: Path, weights: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 (h5py ships no types)
    """Every group and dataset, each once; only hard links are followed."""
    waiting = [("", weights, 0)]
    seen: set[int] = set()
    while waiting:
        name, item, depth = waiting.pop()
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise _refused(path, name, "linked to twice")
        seen.add(address)
        if len(seen) > _MOST_OBJECTS or depth > _MOST_DEPTH:
            raise _refused(path, name, f"more than {_MOST_OBJECTS:,} groups and datasets, or {_MOST_DEPTH} levels")
        if not isinstance(item, h5py.Group | h5py.Dataset):
            raise _refused(path, name, f"a {type(item).__name__}; expected groups and datasets")
        yield name, item
        if isinstance(item, h5py.Group):
            waiting.extend((f"{name}/{key}", _linked(path, name, item, key), depth + 1) for key in item)


def _linked(path: Path, name: str, group: Any, key: str) -> Any:  # noqa: ANN401
    if key in (".", "..") or not key.isprintable():
        raise _refused(path, f"{name}/{key!r}", "a name that is a way or holds a control character")
    link = group.get(key, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise _refused(path, f"{name}/{key}", _LINKS.get(type(link), "a link of a kind of its own"))
    return group[key]


def _check_dataset(path: Path, name: str, dataset: Any, sizes: _Sizes) -> None:  # noqa: ANN401
    if dataset.is_virtual:
        raise _refused(path, name, "a virtual dataset, which reads other files")
    if dataset.external:
        raise _refused(path, name, f"its values lie in another file ({ascii(dataset.external[0][0])[:200]})")
    creation = dataset.id.get_create_plist()
    for index in range(creation.get_nfilters()):
        if creation.get_filter(index)[0] not in _FILTERS:
            raise _refused(path, name, f"it needs the HDF5 filter {creation.get_filter(index)[0]}, which is code")
    dtype = dataset.dtype
    is_opaque = dataset.id.get_type().get_class() == h5py.h5t.OPAQUE and dtype.itemsize <= _MOST_OPAQUE
    if dataset.id.get_type().committed() or not (dtype.kind in _KINDS or is_opaque):
        raise _refused(path, name, f"of the type {dtype}; expected numbers, booleans or fixed-length strings")
    declared = math.prod(dataset.shape or ()) * dtype.itemsize if dataset.shape is not None else 0
    stored = dataset.id.get_storage_size()
    if declared > EXPANSION_FLOOR and declared > MOST_EXPANSION * stored:
        raise _refused(path, name, f"it declares {declared:,} bytes and stores {stored:,}: a shape bomb")
    sizes.declared += declared
    sizes.stored += stored
    sizes.of_model += 0 if name.startswith(_OPTIMIZER) else declared


def _check_attributes(path: Path, name: str, item: Any) -> None:  # noqa: ANN401
    """Look at the attributes' types and sizes; their values are not read."""
    if h5py.h5a.get_num_attrs(item.id) > _MOST_ATTRIBUTES:
        raise _refused(path, name, f"more than {_MOST_ATTRIBUTES} attributes")
    for index in range(h5py.h5a.get_num_attrs(item.id)):
        attribute = h5py.h5a.open(item.id, index=index)
        is_text = isinstance(attribute.get_type(), h5py.h5t.TypeStringID)
        if not is_text and attribute.dtype.kind not in _KINDS:
            raise _refused(path, name, f"an attribute of the type {attribute.dtype}; expected text or numbers")
        if max(attribute.get_storage_size(), math.prod(attribute.shape)) > _MOST_ATTRIBUTE_BYTES:
            raise _refused(path, name, f"an attribute of more than {_MOST_ATTRIBUTE_BYTES:,} bytes")


def _refused(path: Path, name: str, reason: str) -> ModelRefused:
    where = f"'{name[:200]}' in model.weights.h5" if name else "model.weights.h5"
    return ModelRefused(f"{path}: {where}: {reason}; {_AGAIN}")
