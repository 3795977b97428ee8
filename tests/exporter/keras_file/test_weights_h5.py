# ruff: noqa: ANN401 (h5py ships no types)
"""Weights are numbers inside the file: whatever points out of it, asks for code or only claims a size is refused."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kedge_exporter.inspect import inspect
from tests.exporter.keras_file.test_archive import refusal
from tests.exporter.keras_files import keras_file, weights

SECRET = b"what only the operator may read"


def soft_link(file: Any) -> None:
    file["layers/dense/vars/2"] = h5py.SoftLink("/layers/dense/vars/0")


def soft_group(file: Any) -> None:
    file["layers/other"] = h5py.SoftLink("/layers/dense")


def external_link(file: Any) -> None:
    file["layers/dense/vars/2"] = h5py.ExternalLink("secret.h5", "/layers/dense/vars/0")


def external_storage(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", (8,), "u1", external=[("secret.h5", 0, 8)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((3, 2), np.float32)
    layout[:] = h5py.VirtualSource("secret.h5", "layers/dense/vars/0", (3, 2))
    file.create_virtual_dataset("layers/dense/vars/2", layout)


def shape_bomb(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", (1 << 20, 1 << 20), np.float32, chunks=(1024, 1024))


def compressed_bomb(file: Any) -> None:
    zeros = file.create_dataset("layers/dense/vars/2", (20 << 20,), np.float64, chunks=(20 << 20,), compression=9)
    zeros[:] = 0


def many_bombs(file: Any) -> None:
    for number in range(40):
        file.create_dataset(f"layers/dense/vars/{number + 2}", (8 << 20,), np.float32, chunks=(1024,))


def plugin_filter(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", data=np.zeros(100), chunks=(100,), compression="lzf")


def cycle(file: Any) -> None:
    file["layers/dense/again"] = file["layers"]


def linked_twice(file: Any) -> None:
    file["layers/dense/vars/2"] = file["layers/dense/vars/0"]


def object_reference(file: Any) -> None:
    file["layers/dense/vars/2"] = np.array([file["layers"].ref], h5py.ref_dtype)


def region_reference(file: Any) -> None:
    reference = file["layers/dense/vars/0"].regionref[:1]
    file["layers/dense/vars/2"] = np.array([reference], h5py.regionref_dtype)


def variable_length(file: Any) -> None:
    file.create_dataset("layers/dense/vars/2", data=["word"], dtype=h5py.string_dtype())


def compound(file: Any) -> None:
    file["layers/dense/vars/2"] = np.zeros(2, [("a", "f4"), ("b", "i4")])


def opaque(file: Any) -> None:
    file["layers/dense/vars/2"] = np.zeros(2, "V64")


def committed_type(file: Any) -> None:
    file["layers/type"] = np.dtype("f4")


def of_committed_type(file: Any) -> None:
    file["type"] = np.dtype("f4")
    file.create_dataset("layers/dense/vars/2", (2,), file["type"])
    del file["type"]


def dots(file: Any) -> None:
    file["layers"].create_group("other")
    file["layers"].move("other", "ot\x02her")


def deep(file: Any) -> None:
    file.create_group("/".join("g" * 200))


def attribute_of_references(file: Any) -> None:
    file["layers"].attrs.create("to", file["layers"].ref, dtype=h5py.ref_dtype)


def many_attributes(file: Any) -> None:
    for number in range(80):
        file["layers"].attrs[str(number)] = 1


@pytest.mark.parametrize(
    ("attack", "where", "reason"),
    [
        (soft_link, "vars/2", "a soft link"),
        (soft_group, "layers/other", "a soft link"),
        (external_link, "vars/2", "a link to another file"),
        (external_storage, "vars/2", "its values lie in another file ('secret.h5')"),
        (virtual, "vars/2", "a virtual dataset"),
        (shape_bomb, "vars/2", "a shape bomb"),
        (compressed_bomb, "vars/2", "a shape bomb"),
        (many_bombs, "model.weights.h5", "a shape bomb"),
        (plugin_filter, "vars/2", "it needs the HDF5 filter 32000, which is code"),
        (cycle, "dense/again", "linked to twice"),
        (linked_twice, "vars", "linked to twice"),
        (object_reference, "vars/2", "of the type object"),
        (region_reference, "vars/2", "of the type object"),
        (variable_length, "vars/2", "of the type object"),
        (compound, "vars/2", "of the type"),
        (opaque, "vars/2", "of the type |V64"),
        (committed_type, "layers/type", "a Datatype; expected groups and datasets"),
        (of_committed_type, "vars/2", "of the type float32"),
        (dots, "ot", "a name that is a way or holds a control character"),
        (deep, "g/g", "128 levels"),
        (attribute_of_references, "layers", "an attribute of the type object"),
        (many_attributes, "layers", "more than 64 attributes"),
    ],
)
def test_what_no_weights_need_is_refused(
    tmp_path: Path, attack: Callable[[Any], None], where: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.h5").write_bytes(SECRET)
    message = refusal(keras_file(tmp_path / "m.keras", model__weights__h5=weights(attack)))
    assert where in message
    assert reason in message
    assert (tmp_path / "secret.h5").read_bytes() == SECRET
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.keras", "secret.h5"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"weights" * 1000, "no HDF5 file"),
        (b"", "no HDF5 file"),
        (bytes(512) + weights(), "no HDF5 file"),
        (weights()[:3000], "damaged"),
        (weights()[:8] + b"\xff" * 5000, "damaged"),
    ],
)
def test_what_is_no_whole_hdf5_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    assert reason in refusal(keras_file(tmp_path / "m.keras", model__weights__h5=content))


def test_a_large_attribute_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w", libver="latest") as file:  # earlier forms hold no attribute of that size
        file.create_group("layers").attrs["much"] = np.zeros(20_000)
    path = keras_file(tmp_path / "m.keras", model__weights__h5=content.getvalue())
    assert "an attribute of more than 65,536 bytes" in refusal(path)


def ordinary(file: Any) -> None:
    """Everything that Keras, and layers with a state of their own, write."""
    place = file["layers/dense/vars"]
    place["seed"] = np.zeros(2, np.uint32)
    place["is_adapted"] = np.array(True)  # noqa: FBT003 (a weight that is a truth)
    place["words"] = np.array([b"a", b"bc"])
    place["complex"] = np.zeros(2, np.complex64)
    place["nothing"] = np.zeros((0, 4), np.float32)
    half = place.create_dataset("bfloat16", data=np.zeros(4, "V2"))
    half.attrs["dtype"] = "bfloat16"
    place.create_dataset("packed", data=np.arange(5000.0), compression="gzip", shuffle=True, fletcher32=True)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_keras_writes_is_taken(tmp_path: Path, compression: int) -> None:
    path = keras_file(tmp_path / "m.keras", compression, model__weights__h5=weights(ordinary))
    assert inspect(path).layer_classes == {"Functional": 1, "Dense": 1}
