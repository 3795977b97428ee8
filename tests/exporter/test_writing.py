"""A full disk is told from a faulty model, in whatever words a library reports it."""

import errno
import os

import pytest

from kedge_exporter.writing import as_write_error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EFBIG, errno.EROFS])
def test_a_library_that_only_quotes_the_system_is_understood(number: int) -> None:
    found = as_write_error(RuntimeError(f"/models/x/saved_model.pb; {os.strerror(number)}"))
    assert found is not None
    assert found.errno == number


def test_the_cause_behind_an_exception_counts() -> None:
    error = ValueError("cannot save")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "model.onnx")
    found = as_write_error(error)
    assert found is not None
    assert found.filename == "model.onnx"


def test_other_failures_are_no_write_errors() -> None:
    assert as_write_error(ValueError("unsupported op Erfc")) is None
    assert as_write_error(FileNotFoundError(errno.ENOENT, "No such file or directory")) is None
