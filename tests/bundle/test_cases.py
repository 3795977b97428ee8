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
