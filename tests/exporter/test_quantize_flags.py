"""What `--quantize` asks for, and which rows of `--data` do what. No TensorFlow, no export."""

from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.cases import Case
from kedge_bundle.fidelity import FidelityBudget, FidelityReport, OutputFidelity
from kedge_bundle.manifest import Latency
from kedge_bundle.signature import Signature, Tensors, TensorSpec
from kedge_exporter.errors import UsageError
from kedge_exporter.flags import parse, request_of
from kedge_exporter.quantize_rows import Rows, rows_for
from kedge_exporter.request import ExportRequest, FormatResult
from kedge_exporter.result_table import table_lines
from kedge_exporter.samples import Draw

DATA = ("--data", "rows.npz")


def request(*flags: str) -> ExportRequest:
    given = ["model.keras", *flags]
    return request_of(parse(given), given)


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ((), ()),
        (("--quantize", "float16"), ("tflite-float16", "onnx-float16")),
        (("--quantize", "dynamic"), ("tflite-dynamic",)),
        (("--quantize", "int8", *DATA), ("tflite-int8", "onnx-int8")),
        (("--quantize", "int8", "--formats", "onnx", *DATA), ("onnx-int8",)),
        (("--quantize", "onnx-int8", "--quantize", "tflite-float16", *DATA), ("tflite-float16", "onnx-int8")),
        (("--quantize", "float16", "--quantize", "onnx-float16"), ("tflite-float16", "onnx-float16")),
    ],
)
def test_a_kind_means_every_format_that_has_it(flags: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    found = request(*flags)
    assert found.quantize == wanted
    assert found.is_timed == bool(wanted)


def test_measure_takes_times_without_quantizing() -> None:
    assert request("--measure").is_timed
    assert request("--measure").quantize == ()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--quantize", "int8"), "it needs --data SAMPLES.npz, some hundred real rows"),
        (("--quantize", "onnx-int8"), "it needs --data"),
        (("--quantize", "dynamic", "--formats", "onnx"), "made from tflite, which is not among --formats onnx"),
        (("--quantize", "float16", "--formats", "saved_model"), "made from onnx or tflite, which is not among"),
        (("--quantize", "tflite-float16", "--formats", "onnx"), "made from tflite"),
        (("--quantize", "int4"), "invalid choice: 'int4'"),
        (("--quantize", "onnx-dynamic"), "invalid choice"),
        (("--min-snr-db", "20"), "say which with --quantize"),
        (("--quantize", "float16", "--min-snr-db", "nan"), "expected a number of decibels"),
        (("--quantize", "float16", "--min-agreement", "95"), "expected a share, 0 to 1"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_any_work(flags: tuple[str, ...], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        request(*flags)


def rows(data: Tensors | None, *, batch: int | None = None, int8: bool = True) -> Rows:
    spec = TensorSpec(name="x", dtype="float32", shape=(batch, 2))
    asked = ExportRequest(
        model=Path("m.keras"), name="m", data=Path("rows.npz"), quantize=("onnx-int8" if int8 else "onnx-float16",)
    )
    signature = Signature(inputs=(spec,), outputs=(spec,))
    found = rows_for(asked, signature, data, [Draw(spec)], [Case("typical-1", {"x": np.zeros((1, 2), np.float32)})])
    assert found is not None
    return found


def numbered(count: int) -> Tensors:
    return {"x": np.arange(2 * count, dtype=np.float32).reshape(count, 2)}


@pytest.mark.parametrize(
    ("count", "calibrated", "judged"), [(2, 1, 1), (3, 1, 2), (200, 100, 100), (360, 128, 232), (5000, 128, 256)]
)
def test_no_row_both_calibrates_and_judges(count: int, calibrated: int, judged: int) -> None:
    found = rows(numbered(count))
    first, second = ({int(row[0]) for row in side["x"]} for side in (found.calibration, found.judging))
    assert (len(first), len(second)) == (calibrated, judged)
    assert not first & second


def test_rows_that_are_sorted_by_class_are_mixed() -> None:
    found = rows(numbered(1000))
    assert 700 < float(np.median(found.calibration["x"])) < 1300


def test_a_fixed_batch_is_filled() -> None:
    found = rows(numbered(30), batch=4)
    assert (len(found.calibration["x"]), len(found.judging["x"])) == (12, 16)


def test_all_rows_judge_where_nothing_is_calibrated() -> None:
    found = rows(numbered(50), int8=False)
    assert (found.calibration, found.calibration_rows, len(found.judging["x"])) == ({}, 0, 50)
    assert found.notes == ("quantization: 50 rows of --data to judge by; with fewer than 100, the numbers say less",)


@pytest.mark.parametrize(("count", "batch", "wanted"), [(1, None, 2), (7, 4, 8), (0, None, 2)])
def test_too_few_rows_are_refused(count: int, batch: int | None, wanted: int) -> None:
    with pytest.raises(UsageError, match=f"{count} rows without NaN .* needs at least {wanted}"):
        rows(numbered(count), batch=batch)


def test_rows_of_nan_only_are_refused_for_every_kind() -> None:
    with pytest.raises(UsageError, match="0 rows without NaN and infinities; expected 1"):
        rows({"x": np.full((5, 2), np.nan, np.float32)}, int8=False)


def test_without_data_rows_are_drawn() -> None:
    found = rows(None, int8=False)
    assert (found.source, len(found.judging["x"])) == ("drawn", 64)


def test_the_table_has_columns_for_what_was_measured() -> None:
    budget = FidelityBudget(min_snr_db=15, min_agreement=0.95)
    output = OutputFidelity(output="y", values=10, rows=5, snr_db=31.25, agreement=0.996, verdict="within-fidelity")
    fidelity = FidelityReport(
        artifact="onnx-int8", source="data", budget=budget, outputs=(output,), verdict="within-fidelity"
    )
    lines = table_lines(
        [
            FormatResult(
                format="onnx", path="model.onnx", bytes=119_473, batch="dynamic", verdict="within-tolerance",
                max_abs_error=2.7e-7, cases=9, latency=Latency(p50_ms=0.0186, p99_ms=0.0534, runs=300, rows=1),
            ),
            FormatResult(
                format="onnx-int8", share=0.3506, path="model.int8.onnx", bytes=41_892, batch=1,
                verdict="within-fidelity", max_abs_error=None, cases=0, fidelity=fidelity,
                latency=Latency(p50_ms=1234.5, p99_ms=2000, runs=5, rows=1),
            ),
        ]
    )  # fmt: skip
    assert lines == [
        "format       bytes  share  batch    verdict           largest error  SNR dB  agreement  p50 ms  p99 ms",
        "onnx       119,473   100%  dynamic  within-tolerance  2.7e-07             -          -  0.0186  0.0534",
        "onnx-int8   41,892    35%  1        within-fidelity   -                31.2      99.6%    1234    2000",
    ]
