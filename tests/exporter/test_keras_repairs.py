"""What is mended in Keras answers as it is defined; other repairs are tested with the models that need them."""

import json
from pathlib import Path

from tests.exporter.conftest import run_module


def test_a_dilated_transposed_convolution_is_the_mirror_image_of_the_dilated_one(tmp_path: Path) -> None:
    printed = run_module("tests.exporter.dilated_transposed", work=tmp_path)
    outcomes = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len(outcomes) == 18
    assert [outcome for outcome in outcomes if outcome["shape"] != outcome["promised"]] == []
    assert [outcome for outcome in outcomes if not outcome["error"] < 1e-12] == []
