"""The zip around a model: what Keras writes is taken, whatever else the zip format offers is refused."""

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kedge_exporter.errors import ExportError, ModelRefused
from kedge_exporter.inspect import inspect
from tests.exporter.keras_files import keras_file, members

CENTRAL, END = b"PK\x01\x02", b"PK\x05\x06"


def refusal(path: Path) -> str:
    """What the user reads, in one line, with the file's name in front."""
    with pytest.raises(ExportError) as caught:
        inspect(path)
    assert caught.value.exit_code == 3
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def with_member(path: Path, info: zipfile.ZipInfo | str, content: bytes = b"words") -> Path:
    """An ordinary file with one more member."""
    keras_file(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, content)
    return path


def entry(name: str, mode: int = 0o100600) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("assets/x")
    info.filename = name  # past what ZipInfo itself tidies up
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../outside", "a part '..'"),
        ("assets/../../outside", "a part '..'"),
        ("assets/./words", "a part '..', '.'"),
        ("assets//words", "an empty one"),
        ("/etc/kedge", "an absolute name"),
        ("assets\\..\\outside", "a backslash"),
        ("C:/outside", "a colon"),
        ("assets/wor\x01ds", "a control character"),
        ("assets/" + "w" * 2000, "more than 1024 letters"),
        ("model.py", "a .keras file holds"),
        ("model.weights.json", "a .keras file holds"),
        ("Config.json", "a .keras file holds"),
        ("model.weights.npz", "pickled objects"),
    ],
)
def test_a_member_that_keras_would_not_write_is_named(tmp_path: Path, name: str, reason: str) -> None:
    assert reason in refusal(with_member(tmp_path / "m.keras", entry(name)))
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]


def test_a_name_that_goes_on_behind_a_nul_is_refused(tmp_path: Path) -> None:
    path = with_member(tmp_path / "m.keras", entry("assets/a~b"))
    path.write_bytes(path.read_bytes().replace(b"assets/a~b", b"assets/a\0b"))
    assert "a control character" in refusal(path)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(0o120777, "a symbolic link"), (0o010600, "neither a file nor"), (0o060600, "neither a file nor"),
     (0o040700, "neither a file nor")],
)  # fmt: skip
def test_a_member_that_is_no_file_is_refused(tmp_path: Path, mode: int, reason: str) -> None:
    message = refusal(with_member(tmp_path / "m.keras", entry("assets/link", mode), b"/etc/passwd"))
    assert "'assets/link'" in message
    assert reason in message


def test_a_directory_that_is_a_file_as_well_is_refused(tmp_path: Path) -> None:
    path = with_member(tmp_path / "m.keras", entry("assets/words"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("assets/words/more", b"x")
    assert "'assets/words' is a file, and a directory" in refusal(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_compression_is_refused(tmp_path: Path, method: int) -> None:
    assert "besides that only deflate is read" in refusal(keras_file(tmp_path / "m.keras", method))


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    content[content.index(CENTRAL) + 8] |= 1
    path.write_bytes(content)
    assert "is encrypted" in refusal(path)


def deflated_zeros(size: int) -> zipfile.ZipInfo:
    info = entry("assets/zeros")
    info.compress_type = zipfile.ZIP_DEFLATED
    info.file_size = size
    return info


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    with zipfile.ZipFile(path, "a") as archive, archive.open(deflated_zeros(100 << 20), "w") as member:
        for _ in range(100):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 20
    assert "a decompression bomb" in refusal(path)


def test_more_than_a_model_could_have_is_refused(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    place = content.index(b"config.json", content.index(CENTRAL)) - 46
    content[place + 20 : place + 28] = struct.pack("<2L", 3 << 30, 3 << 30)
    path.write_bytes(content)
    assert "'config.json' has 3,221,225,472 bytes; at most 67,108,864" in refusal(path)


def test_a_size_that_is_not_what_is_stored_is_refused(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    place = content.index(CENTRAL)
    size = struct.unpack_from("<L", content, place + 24)[0]
    struct.pack_into("<L", content, place + 24, size - 1)
    path.write_bytes(content)
    assert f"claims {size - 1:,} bytes and stores {size:,}" in refusal(path)


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = with_member(tmp_path / "m.keras", entry("assets/a"), b"w" * 5000)
    content = bytearray(path.read_bytes())
    second = content.index(b"config.json", content.index(CENTRAL)) - 46
    last = content.index(b"assets/a", second) - 46
    content[second + 42 : second + 46] = struct.pack("<L", struct.unpack_from("<L", content, last + 42)[0] - 60)
    path.write_bytes(content)
    assert "lies over another one" in refusal(path)


def before(content: bytes) -> bytes:
    return b"#!/bin/sh\n" + content


def behind(content: bytes) -> bytes:
    return content + b"more"


def second_archive(content: bytes) -> bytes:
    return content + content


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (behind, "4 bytes follow the archive"),
        (second_archive, "bytes stand before the archive"),
    ],
)
def test_bytes_around_the_archive_are_refused(tmp_path: Path, change: Callable[[bytes], bytes], reason: str) -> None:
    path = keras_file(tmp_path / "m.keras")
    path.write_bytes(change(path.read_bytes()))
    assert reason in refusal(path)


def test_a_script_with_an_archive_behind_it_is_no_keras_file(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    path.write_bytes(before(path.read_bytes()))
    assert "not a .keras file" in refusal(path)


def test_bytes_before_the_first_member_are_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.fp.write(b"PK\x03\x04 something else")  # type: ignore[union-attr]
        archive.start_dir = content.tell()  # type: ignore[attr-defined]
        for name, data in members().items():
            archive.writestr(name, data)
    (tmp_path / "m.keras").write_bytes(content.getvalue())
    assert "bytes stand before the first member" in refusal(tmp_path / "m.keras")


def test_a_table_of_contents_out_of_proportion_is_not_read(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    place = content.rindex(END)
    content[place + 8 : place + 12] = struct.pack("<2H", 60_000, 60_000)
    path.write_bytes(content)
    assert "60000 members" in refusal(path)


def test_a_zip64_record_that_is_not_there_is_said(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    place = content.rindex(END)
    content[place + 16 : place + 20] = b"\xff" * 4
    path.write_bytes(content)
    assert "zip64 record is missing" in refusal(path)


def test_a_zip64_archive_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members().items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    assert inspect(path).class_name == "Functional"


def test_what_was_zipped_again_is_read(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        archive.writestr(entry("assets/", 0o040755), b"")
        archive.writestr("assets/layers/string_lookup/vocabulary.txt", "a\nb\n")
    contents = inspect(path)
    assert contents.content_sha256 != inspect(keras_file(tmp_path / "n.keras")).content_sha256


def test_zeros_that_keras_stored_are_no_bomb(tmp_path: Path) -> None:
    path = with_member(tmp_path / "m.keras", entry("assets/zeros"), bytes(70 << 20))
    assert inspect(path).bytes > 70 << 20


@pytest.mark.parametrize("name", ["model.weights.h5", "metadata.json"])
def test_a_member_that_lies_outside_of_the_file_is_refused(tmp_path: Path, name: str) -> None:
    path = keras_file(tmp_path / "m.keras")
    content = bytearray(path.read_bytes())
    place = content.index(name.encode(), content.index(CENTRAL)) - 46
    content[place + 42 : place + 46] = struct.pack("<L", 0x7FFFFFFF)
    path.write_bytes(content)
    with pytest.raises(ModelRefused, match=r"lies over another one|before the first member"):
        inspect(path)
