"""What tuning found, in real files: kept, damaged, in the wrong place, or nowhere."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kedge_server.tuning import Arrangement, Measured
from kedge_server.tuning_cache import Answer, TuningCache

QUESTION = {"machine": {"processor": "this one"}, "batch_rows": [1, 8], "latency_bound_s": 0.1}
BEST = Measured(1, 2, 8, 1234.5, 0.0125)
ANSWER = Answer(question=QUESTION, arrangement=Arrangement(2, 1, 8, is_quick=False), chosen=BEST, table=(BEST,))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The one file of a state directory."""
    TuningCache(tmp_path).write(ANSWER)
    (path,) = (tmp_path / "tuning").iterdir()
    return path


def test_what_is_kept_is_read_by_another_process(tmp_path: Path, file: Path):
    assert file.suffix == ".json"
    assert TuningCache(tmp_path).read(QUESTION) == ANSWER


def test_another_machine_is_another_question(tmp_path: Path, file: Path):
    assert TuningCache(tmp_path).read(QUESTION | {"machine": {"processor": "that one"}}) is None
    TuningCache(tmp_path).write(ANSWER.model_copy(update={"question": QUESTION | {"machine": "that one"}}))
    assert len(list(file.parent.iterdir())) == 2


@pytest.mark.parametrize(
    ("content", "because"),
    [
        (b"", "Invalid JSON"),
        (b'{"question": ', "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"{}", "Field required"),
        (ANSWER.model_dump_json().replace('"instances":2', '"instances":"two"').encode(), "valid integer"),
        (ANSWER.model_dump_json().replace("this one", "that one").encode(), "another question than its name says"),
    ],
)
def test_a_damaged_file_is_ignored_with_a_warning_and_written_anew(
    tmp_path: Path, file: Path, content: bytes, because: str
):
    file.write_bytes(content)
    cache = TuningCache(tmp_path)
    with capture_logs() as log:
        assert cache.read(QUESTION) is None
    (warning,) = log
    assert (warning["event"], warning["log_level"]) == ("tuning_cache_ignored", "warning")
    assert warning["path"] == str(file)
    assert because in warning["because"]
    cache.write(ANSWER)
    assert cache.read(QUESTION) == ANSWER


def test_a_file_that_cannot_be_read_is_ignored_with_a_warning(tmp_path: Path, file: Path):
    file.unlink()
    file.mkdir()
    with capture_logs() as log:
        assert TuningCache(tmp_path).read(QUESTION) is None
    assert log[0]["because"] == "Is a directory"


def test_where_nothing_can_be_written_it_is_said_once(tmp_path: Path):
    (tmp_path / "file").write_text("")
    # Not even root makes a directory in /proc; where a file stands in the way, nobody does.
    for directory, because in (
        (Path("/proc/kedge"), ""),
        (tmp_path / "file", "Not a directory"),
        (None, "--state-dir"),
    ):
        cache = TuningCache(directory)
        with capture_logs() as log:
            assert cache.read(QUESTION) is None
            cache.write(ANSWER)
            cache.write(ANSWER)
        assert [event["event"] for event in log] == ["tuning_not_kept"]
        assert because in log[0]["because"] != ""


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, file: Path):
    file.unlink()
    file.mkdir()  # a file cannot replace it
    with capture_logs() as log:
        TuningCache(tmp_path).write(ANSWER)
    assert log[0]["event"] == "tuning_not_kept"
    assert list(file.parent.iterdir()) == [file]
