"""A `.keras` file is read as data: what it holds, and what is refused before Keras sees it."""

import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from kedge_exporter.errors import ModelRefused, ModelUnreadable
from kedge_exporter.inspect import content_sha256_of, inspect
from tests.exporter.keras_files import keras_file, layer, members, model, weights


def test_a_whole_file_tells_version_class_and_layers(tmp_path: Path) -> None:
    config = model(layer(), layer("Sequential", "keras", layers=[layer()]))
    contents = inspect(keras_file(tmp_path / "m.keras", config__json=config))
    assert (contents.keras_version, contents.class_name) == ("3.15.1", "Functional")
    assert contents.layer_classes == {"Functional": 1, "Dense": 2, "Sequential": 1}
    assert contents.bytes == (tmp_path / "m.keras").stat().st_size


def test_what_only_training_needs_is_no_weight_of_the_model(tmp_path: Path) -> None:
    def train(file: h5py.File) -> None:
        file["optimizer/vars/0"] = np.zeros(1000, np.float32)

    contents = inspect(keras_file(tmp_path / "m.keras", model__weights__h5=weights(train)))
    assert contents.weight_bytes == 4 * (3 * 2 + 2)


def test_the_content_hash_is_that_of_the_members_not_of_the_zip(tmp_path: Path) -> None:
    first = inspect(keras_file(tmp_path / "a.keras"))
    with zipfile.ZipFile(tmp_path / "a.keras") as old, zipfile.ZipFile(tmp_path / "b.keras", "w") as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    second = inspect(tmp_path / "b.keras")
    assert first.sha256 != second.sha256
    assert first.content_sha256 == second.content_sha256
    assert first.content_sha256 == content_sha256_of(tmp_path / "a.keras")
    other = inspect(
        keras_file(tmp_path / "c.keras", model__weights__h5=weights(lambda file: file.create_group("more")))
    )
    assert other.content_sha256 != first.content_sha256


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"config__json": None}, "config.json missing inside"),
        ({"metadata__json": None}, "metadata.json missing inside"),
        ({"model__weights__h5": None}, "model.weights.h5 missing inside"),
    ],
)
def test_a_missing_member_is_named(tmp_path: Path, changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelUnreadable, match=sentence):
        inspect(keras_file(tmp_path / "m.keras", **changed))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"config__json": b"{"}, "config.json is not JSON"),
        ({"config__json": b"[1]"}, "config.json is not a JSON object"),
        ({"config__json": b"[" * 100_000}, "config.json is not JSON"),
        ({"metadata__json": {"keras_version": "3\x1b[2J"}}, "do not describe a Keras 3 model"),
        ({"metadata__json": {}}, "do not describe a Keras 3 model"),
        ({"config__json": model() | {"config": {"input_layers": []}}}, "has no inputs"),
    ],
)
def test_a_configuration_that_is_not_taken_is_refused(tmp_path: Path, changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelRefused, match=sentence):
        inspect(keras_file(tmp_path / "m.keras", **changed))


def test_a_flipped_bit_in_the_weights_is_found(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    content[content.index(members()["model.weights.h5"]) + 300] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelUnreadable, match=r"damaged or truncated.*model\.weights\.h5"):
        inspect(path)


@pytest.mark.parametrize("size", [4, 40, 100, 300])
def test_a_file_cut_anywhere_is_truncated_not_a_crash(tmp_path: Path, size: int) -> None:
    path = keras_file(tmp_path / "m.keras")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelUnreadable, match="damaged or truncated"):
        inspect(path)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("config.json", b"{}")
    with pytest.raises(ModelUnreadable, match="share a name"):
        inspect(path)


def test_another_suffix_is_refused_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match=r"expected the suffix \.keras"):
        inspect(keras_file(tmp_path / "m.zip"))


def test_a_file_that_is_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelUnreadable, match="cannot be read: Not a directory"):
        inspect(tmp_path / "file" / "m.keras")
    (tmp_path / "m.keras").mkdir()
    with pytest.raises(ModelUnreadable, match=r"a directory; expected a \.keras file"):
        inspect(tmp_path / "m.keras")


def test_the_content_hash_alone_is_not_taken_of_a_damaged_file(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    content[content.index(members()["model.weights.h5"]) + 300] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ModelUnreadable, match="damaged or truncated"):
        content_sha256_of(path)
