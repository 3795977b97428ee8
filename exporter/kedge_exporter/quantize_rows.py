"""The rows that quantization needs: some to calibrate on, others to judge by. numpy only."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.cases import Case
from kedge_bundle.signature import Signature, Tensors, row_count
from kedge_exporter.errors import UsageError
from kedge_exporter.request import ExportRequest
from kedge_exporter.samples import Draw, one_case

_MOST_CALIBRATION, _MOST_JUDGED = 128, 256
_ENOUGH = 100
"""Rows; below that, ranges and agreement say less, and a note says so."""
_DRAWN = 64


@dataclass(frozen=True)
class Rows:
    """Rows by Keras' names, no row on both sides.

    Attributes:
        calibration: what sets the ranges of activations; none where the user gave no data.
        judging: what the artifacts are judged by.
        source: `data`, or `drawn` where the user gave none.
    """

    calibration: Tensors
    judging: Tensors
    source: Literal["data", "drawn"]
    notes: tuple[str, ...] = ()

    @property
    def calibration_rows(self) -> int:
        """How many rows set the ranges."""
        return row_count(self.calibration) if self.calibration else 0


def rows_for(
    request: ExportRequest, signature: Signature, data: Tensors | None, inputs: list[Draw], cases: list[Case]
) -> Rows | None:
    """Split the user's rows, or draw some where there are none; None where nothing is to be quantized or timed.

    Args:
        request: tells the seed and what is wanted.
        signature: the model's inputs.
        data: the user's rows, in the model's names, dtypes and shapes.
        inputs: how to draw each input.
        cases: the cases of the proof; the sizes that the model leaves open are those of the first.

    Raises:
        UsageError: too few rows that could be used.
    """
    if not request.quantize and not request.is_timed:
        return None
    batch = signature.fixed_batch or 1
    rng = np.random.default_rng([request.seed, len("quantize")])
    if data is None:
        size = _open_size(signature, cases[0])
        return Rows({}, one_case(inputs, "typical", max(_DRAWN // batch, 1) * batch, size, rng), "drawn")
    usable, notes = _finite(data)
    wanted = 2 * batch
    is_calibrated = any(name.endswith("-int8") for name in request.quantize)
    if len(usable) < wanted and is_calibrated:
        raise UsageError(
            f"--data {request.data}: {len(usable)} rows without NaN and infinities; --quantize int8 needs at least "
            f"{wanted}, some to calibrate on and others to judge by (some hundreds are better)"
        )
    if len(usable) < batch:
        raise UsageError(f"--data {request.data}: {len(usable)} rows without NaN and infinities; expected {batch}")
    # Files are often sorted by class: every class has its chance on both sides.
    shuffled = usable[rng.permutation(len(usable))]
    calibrated = min(_MOST_CALIBRATION, len(shuffled) // 2) // batch * batch if is_calibrated else 0
    judged = min(_MOST_JUDGED, len(shuffled) - calibrated) // batch * batch
    if judged < _ENOUGH or (is_calibrated and calibrated < _ENOUGH):
        used = f"{judged} rows of --data to judge by" + (f", {calibrated} others to calibrate on" * is_calibrated)
        notes = (*notes, f"quantization: {used}; with fewer than {_ENOUGH}, the numbers say less")
    first, second = shuffled[:calibrated], shuffled[calibrated : calibrated + judged]
    return Rows(_picked(data, first), _picked(data, second), "data", notes)


def _open_size(signature: Signature, case: Case) -> int:
    """What a case of the proof took for the sizes that the model leaves open; 1 where it leaves none."""
    for spec in signature.inputs:
        for axis, size in enumerate(spec.shape):
            if axis and size is None:
                return int(case.inputs[spec.name].shape[axis])
    return 1


def _finite(data: Tensors) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """The indices of rows without NaN and infinity, which would widen every range to nothing, and what to say."""
    rows = row_count(data)
    is_usable = np.ones(rows, bool)
    for array in data.values():
        if array.dtype.kind == "f":
            is_usable &= np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    left_out = int((~is_usable).sum())
    note = f"quantization: {left_out} of the {rows} rows of --data hold NaN or infinities and were left out"
    return np.flatnonzero(is_usable), (note,) if left_out else ()


def _picked(data: Tensors, rows: NDArray[np.intp]) -> Tensors:
    return {name: array[rows] for name, array in data.items()} if len(rows) else {}
