"""The page is written between its markers, from the whole zoo, and from nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.zoo import table
from tests.zoo.child import ROOT
from tests.zoo.outcomes import FormatOutcome, KerasNames, Outcome, Results

OUTCOME = Outcome(
    name="dense",
    keras_bytes=2_345_678,
    classes=("Dense",),
    formats=(
        FormatOutcome(format="saved_model", exit_code=0, batch="dynamic", bytes=12_345, error=0.0),
        FormatOutcome(format="tflite", exit_code=0, batch=1, bytes=1, error=2.4e-7),
        FormatOutcome(format="onnx", exit_code=4, sentence="no form of A|B"),
    ),
)
RESULTS = Results(keras=KerasNames(layers=("Dense",), functions=()), outcomes={"dense": OUTCOME})


def test_a_row_tells_error_size_and_rows_and_the_reason_of_a_refusal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "models.md"
    page.write_text("before\n<!-- make zoo: begin -->\nyesterday\n<!-- make zoo: end -->\nafter\n", "utf-8")
    monkeypatch.setattr(table, "PAGE", page)
    table.write_page(RESULTS)
    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "yesterday" not in text
    assert "| 2.3 MB | exact, 12 kB | 2e-7, 1 kB, one row | refused (4) |" in text
    assert "| `dense` | ONNX | no form of A\\|B | 4 |" in text
    assert "1 models: 0 proven in all three formats, 1 refused in some format" in text


def test_a_page_without_markers_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "models.md"
    page.write_text("no markers", "utf-8")
    monkeypatch.setattr(table, "PAGE", page)
    with pytest.raises(ValueError, match="expected the markers"):
        table.write_page(RESULTS)
    assert page.read_text("utf-8") == "no markers"


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    RESULTS.write(tmp_path / "results.jsonl")
    assert Results.read(tmp_path / "results.jsonl") == RESULTS


@pytest.mark.parametrize(
    ("flags", "said"), [(["--page", "--fast"], "leave --fast and --only out"), (["--only", "yeti"], "invalid choice")]
)
def test_flags_that_cannot_be_followed_are_named(flags: list[str], said: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.zoo.run", *flags], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert said in finished.stderr
