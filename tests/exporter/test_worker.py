"""What the export's process says of exceptions that nobody named: the disk, the memory, or a fault of Kedge."""

import errno
from pathlib import Path

import pytest

from kedge_exporter.errors import CannotWrite, ExportCrashed
from kedge_exporter.request import ExportRequest, Job
from kedge_exporter.worker import _explained

JOB = Job(request=ExportRequest(model=Path("m.keras"), name="m"), staged=Path("staged"), work=Path("scratch/work"))


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "models/x"),
            CannotWrite,
            "models/x cannot be written: No sp",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), CannotWrite, "a file under models or scratch cannot be wr"),
        (MemoryError(), ExportCrashed, "too little memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), ExportCrashed, "too little memory"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), ExportCrashed, "temporarily unavailable"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), ExportCrashed, "a fault of Kedge: BrokenPipeError: "),
        (KeyError("gone"), ExportCrashed, "a fault of Kedge: KeyError: 'gone'; please report it with the log"),
    ],
)
def test_an_exception_is_one_sentence_of_its_kind(error: Exception, kind: type[Exception], said: str) -> None:
    explained = _explained(error, JOB)
    assert type(explained) is kind
    assert said in str(explained)
