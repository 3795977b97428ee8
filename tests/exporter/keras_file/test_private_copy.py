"""What is inspected is what is loaded: one private copy, whatever happens to the user's file."""

import errno
import os
from pathlib import Path

import pytest

from kedge_exporter.errors import ModelRefused, ModelUnreadable
from kedge_exporter.inspect import inspect
from kedge_exporter.keras_file import private_copy
from kedge_exporter.keras_file.private_copy import take_copy
from tests.exporter.keras_files import keras_file


def test_the_copy_is_what_was_inspected_and_nobody_elses(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    content = path.read_bytes()
    (tmp_path / "work").mkdir()
    contents = inspect(path, copy_into=tmp_path / "work")
    path.write_bytes(b"another file by now")
    assert contents.copy is not None
    assert contents.copy.read_bytes() == content
    assert contents.copy.stat().st_mode & 0o077 == 0
    assert contents.path == path


def test_without_a_place_for_it_no_copy_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert inspect(keras_file(tmp_path / "m.keras")).copy is None
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.keras")
    with pytest.raises(ModelUnreadable, match="a device, pipe or socket"):
        inspect(tmp_path / "m.keras")


def test_a_file_of_any_size_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with path.open("wb") as file:
        file.write(b"PK")
        file.truncate(private_copy.MOST_FILE_BYTES + 1)  # a hole: it takes no room
    with pytest.raises(ModelRefused, match=r"17,179,869,185 bytes.*no file of one passes 17,179,869,184"):
        inspect(path)


def test_a_full_disk_names_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keras_file(tmp_path / "m.keras")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "model.keras").symlink_to("/dev/full")
    monkeypatch.setattr(private_copy, "_OPEN_FLAGS", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as caught:
        take_copy(path, tmp_path / "work")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "work" / "model.keras")


def test_a_copy_is_never_written_over_what_is_there(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    (tmp_path / "work").mkdir()
    (tmp_path / "target").write_text("precious")
    (tmp_path / "work" / "model.keras").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        take_copy(path, tmp_path / "work")
    assert (tmp_path / "target").read_text() == "precious"
