import zipfile
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.cases import Case, read_cases, read_npz, write_cases
from kedge_bundle.errors import SamplesInvalid


def test_cases_come_back_as_they_were(tmp_path: Path):
    words = np.array([[b"one"], [b"t\xc3\xbcr"]], object)
    cases = [
        Case("zeros", {"a/b:0": np.zeros((2, 3), np.float32), "s": words}, {"y": np.array([np.nan, 1], np.float16)}),
        Case("ones", {"a/b:0": np.ones((1, 3), np.float32)}, {"y": np.array([2], np.int64)}),
    ]
    write_cases(tmp_path / "golden.npz", cases)
    back = read_cases(tmp_path / "golden.npz")
    assert [case.name for case in back] == ["zeros", "ones"]
    for case, was in zip(back, cases, strict=True):
        for side, original in ((case.inputs, was.inputs), (case.outputs, was.outputs)):
            assert list(side) == list(original)
            for name, array in original.items():
                assert side[name].dtype == array.dtype
                np.testing.assert_array_equal(side[name], array)


def test_pickled_objects_are_never_loaded(tmp_path: Path):
    path = tmp_path / "evil.npz"
    np.savez(path, x=np.array([{"a": 1}], object))
    with pytest.raises(SamplesInvalid, match="cannot be read"):
        read_npz(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 truncated"])
def test_files_that_are_no_npz_get_one_sentence(tmp_path: Path, content: bytes):
    path = tmp_path / "samples.npz"
    path.write_bytes(content)
    with pytest.raises(SamplesInvalid, match=r"samples\.npz"):
        read_npz(path)


def test_a_table_as_text_is_not_taken_for_a_pickle(tmp_path: Path):
    (tmp_path / "table.csv").write_text("age,city\n1,2\n")
    with pytest.raises(SamplesInvalid, match=r"no zip archive, as numpy\.savez writes it; it begins with b'age,ci'"):
        read_npz(tmp_path / "table.csv")


def test_a_missing_file_and_a_single_array_are_refused(tmp_path: Path):
    with pytest.raises(SamplesInvalid, match="cannot be read"):
        read_npz(tmp_path / "none.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(SamplesInvalid, match="single"):
        read_npz(tmp_path / "one.npy")


def test_members_with_other_names_are_refused(tmp_path: Path):
    path = tmp_path / "golden.npz"
    np.savez(path, x=np.zeros(3))
    with pytest.raises(SamplesInvalid, match="is not named"):
        read_cases(path)


def test_a_truncated_archive_is_refused(tmp_path: Path):
    path = tmp_path / "golden.npz"
    write_cases(path, [Case("c", {"x": np.arange(1000.0)}, {"y": np.arange(1000.0)})])
    path.write_bytes(path.read_bytes()[:-200])
    assert not zipfile.is_zipfile(path)
    with pytest.raises(SamplesInvalid):
        read_cases(path)


def _npz(path: Path, header: str) -> Path:
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
    return path


@pytest.mark.parametrize("size", [10**13, 2 * 10**21])
def test_an_array_that_claims_more_than_there_is_memory_is_refused(tmp_path: Path, size: int):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({size},)}}\n"
    with pytest.raises(SamplesInvalid, match="cannot be read"):
        read_npz(_npz(tmp_path / "bomb.npz", header))


def test_a_header_that_is_no_python_literal_is_refused(tmp_path: Path):
    with pytest.raises(SamplesInvalid, match="cannot be read"):
        read_npz(_npz(tmp_path / "broken.npz", "{'descr': '<f8',(\n"))


@pytest.mark.parametrize("position", range(60, 160, 10))
def test_damage_anywhere_in_a_compressed_member_gets_one_sentence(tmp_path: Path, position: int):
    path = tmp_path / "damaged.npz"
    np.savez_compressed(path, x=np.arange(10_000.0))
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(SamplesInvalid, match=r"damaged\.npz"):
        read_npz(path)


def test_an_encrypted_archive_is_refused(tmp_path: Path):
    path = tmp_path / "secret.npz"
    np.savez(path, x=np.zeros(3))
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of the member, there and in the directory at the end
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(SamplesInvalid, match="encrypted"):
        read_npz(path)


def test_a_member_that_is_no_array_is_named(tmp_path: Path):
    path = tmp_path / "mixed.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", b"hello")
    with pytest.raises(SamplesInvalid, match=r"readme\.txt.* no arrays"):
        read_npz(path)
