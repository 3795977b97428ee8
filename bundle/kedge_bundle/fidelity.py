"""How much of a model's answers is left in a smaller artifact: signal-to-noise and top-1 agreement, with thresholds.

The counterpart of `parity.py` for quantized artifacts, which answer otherwise on purpose: an absolute error says
nothing of them. Arithmetic in float64, non-finite values first, and no way to pass on nothing. Knows no runtime and no
file.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from kedge_bundle.signature import Tensors, describe_dtype, describe_shape

FidelityVerdict = Literal["within-fidelity", "failed"]

_DECIBELS = 10.0
_RANK_OF_SCORES = 2
_FEWEST_CLASSES = 2


class FidelityBudget(BaseModel):
    """What must be left: signal-to-noise of every floating-point output, agreement of every output of scores."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    min_snr_db: float
    min_agreement: float = Field(ge=0, le=1)


class OutputFidelity(BaseModel):
    """How one output compares over all rows.

    Attributes:
        snr_db: `10 log10(sum(signal^2) / sum((reference - answer)^2))` over finite values. The signal is what differs
            between rows, the reference without its mean over the rows: an output of 300 +- 1 has a signal of 1, not
            of 300. Of a single row, or where all rows are the same, it is the reference itself. Infinite where every
            value is equal, minus infinity where there is no signal but noise; None for integers, booleans, strings.
        total_snr_db: the same with the whole reference as the signal, as other tools give it.
        agreement: the share of rows whose first highest score stands where the reference has (one of) its highest;
            of values that are no floats, the share that are equal. None for outputs that are no scores.
        nonfinite: values of the reference that are NaN or infinite; the answer has the same ones in the same places.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    output: str
    values: int
    rows: int
    snr_db: float | None = None
    total_snr_db: float | None = None
    agreement: float | None = None
    nonfinite: int = 0
    verdict: FidelityVerdict
    reason: str = ""


class FidelityReport(BaseModel):
    """Every output of one artifact. `failed` unless every output was compared and met the budget.

    Attributes:
        artifact: the artifact's name.
        source: where the rows came from: `data`, or `drawn` where the user gave none.
    """

    model_config = ConfigDict(frozen=True)

    artifact: str
    source: Literal["data", "drawn"]
    budget: FidelityBudget
    outputs: tuple[OutputFidelity, ...]
    verdict: FidelityVerdict
    reason: str = ""

    @property
    def is_faithful(self) -> bool:
        """Whether every threshold was met."""
        return self.verdict != "failed"

    @property
    def rows(self) -> int:
        """The rows that were judged."""
        return max((output.rows for output in self.outputs), default=0)

    @property
    def snr_db(self) -> float | None:
        """The lowest of the outputs', in dB; None where no output is of floats."""
        return min((o.snr_db for o in self.outputs if o.snr_db is not None), default=None)

    @property
    def agreement(self) -> float | None:
        """The lowest of the outputs', a share; None where no output has one."""
        return min((o.agreement for o in self.outputs if o.agreement is not None), default=None)

    def first_failure(self) -> str:
        """One sentence on the first thing that is missed; empty when nothing is."""
        if self.is_faithful:
            return ""
        found = (f"output '{o.output}': {o.reason}" for o in self.outputs if o.verdict == "failed")
        return next(found, self.reason)


def judge(
    artifact: str, expected: Tensors, actual: Tensors, budget: FidelityBudget, source: Literal["data", "drawn"] = "data"
) -> FidelityReport:
    """Judge an artifact's answers by name.

    Args:
        artifact: the artifact's name.
        expected: the reference answers, each (rows, ...).
        actual: the artifact's answers to the same inputs; names, dtypes and shapes must be the same.
        budget: the thresholds.
        source: where the inputs came from.
    """
    if not expected or set(expected) != set(actual):
        reason = f"expected the outputs {sorted(expected)}, got {sorted(actual)}" if expected else "nothing to compare"
        return failed(artifact, budget, source, reason)
    outputs = tuple(_judge_output(name, expected[name], actual[name], budget) for name in expected)
    verdict: FidelityVerdict = "failed" if any(output.verdict == "failed" for output in outputs) else "within-fidelity"
    if verdict != "failed" and budget.min_agreement == 0 and all(output.snr_db is None for output in outputs):
        reason = (
            "nothing is asked of its answers: signal-to-noise is for floats, of which it gives none, and no agreement "
            "is asked for; --data gives it real rows, --min-agreement asks for a share of equal values"
        )
        return failed(artifact, budget, source, reason)
    return FidelityReport(artifact=artifact, source=source, budget=budget, outputs=outputs, verdict=verdict)


def failed(artifact: str, budget: FidelityBudget, source: Literal["data", "drawn"], reason: str) -> FidelityReport:
    """The report on an artifact that could not be judged."""
    return FidelityReport(artifact=artifact, source=source, budget=budget, outputs=(), verdict="failed", reason=reason)


def _judge_output(
    name: str, expected: NDArray[np.generic], actual: NDArray[np.generic], budget: FidelityBudget
) -> OutputFidelity:
    found = OutputFidelity(
        output=name,
        values=int(expected.size),
        rows=expected.shape[0] if expected.ndim else 1,
        verdict="within-fidelity",
    )
    if reason := _not_comparable(expected, actual):
        return found.model_copy(update={"verdict": "failed", "reason": reason})
    if expected.dtype.kind != "f":
        return _with_verdict(found, budget, agreement=float(np.mean(expected == actual)))
    reference, answer = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(reference)
    noise = np.where(finite, reference - np.where(finite, answer, 0.0), 0.0)
    return _with_verdict(
        found,
        budget,
        snr_db=_decibels(_signal(reference, finite), noise),
        total_snr_db=_decibels(np.where(finite, reference, 0.0), noise),
        agreement=_top1_agreement(reference, answer),
        nonfinite=int((~finite).sum()),
    )


def _not_comparable(expected: NDArray[np.generic], actual: NDArray[np.generic]) -> str:
    """Why no number could say how two answers compare; empty when one can."""
    if expected.dtype != actual.dtype:
        return f"expected dtype {describe_dtype(expected)}, got {describe_dtype(actual)}"
    if expected.shape != actual.shape:
        return f"expected shape {describe_shape(expected.shape)}, got {describe_shape(actual.shape)}"
    if expected.size == 0:
        return "the output holds no value"
    if expected.dtype.kind != "f":
        return ""
    finite = np.isfinite(expected)
    # Masks first: a NaN in the arithmetic below would make every number NaN.
    if not np.array_equal(finite, np.isfinite(actual)) or not np.array_equal(
        expected[~finite], actual[~finite], equal_nan=True
    ):
        return "NaN or infinity stand in other places, or are others"
    return "" if finite.any() else "the reference holds no finite value"


def _with_verdict(found: OutputFidelity, budget: FidelityBudget, **numbers: float | None) -> OutputFidelity:
    """The same with its numbers and its verdict; NaN would be a failure, since nothing but `>=` passes."""
    found = found.model_copy(update=numbers)
    missed = []
    if found.snr_db is not None and not found.snr_db >= budget.min_snr_db:
        wanted = f"wanted at least {budget.min_snr_db:g} dB{_hint(found)}"
        missed.append(f"signal-to-noise {found.snr_db:.1f} dB, {wanted}")
    if found.agreement is not None and not found.agreement >= budget.min_agreement:
        is_top1 = found.snr_db is not None
        what = f"top-1 agreement in {found.rows} rows" if is_top1 else f"equal values among {found.values}"
        missed.append(f"{what} {found.agreement:.2%}, wanted at least {budget.min_agreement:.2%}")
    return found.model_copy(update={"verdict": "failed", "reason": "; ".join(missed)}) if missed else found


def _hint(found: OutputFidelity) -> str:
    """Why the number is lower than other tools would have it, where it is by far."""
    if found.snr_db is None or found.total_snr_db is None or not found.total_snr_db - found.snr_db > _DECIBELS:
        return ""
    total = f"{found.total_snr_db:.1f} dB of the values themselves"
    return f" (its rows differ little: {total}, {found.snr_db:.1f} dB of what tells rows apart)"


def _signal(reference: NDArray[np.float64], finite: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What differs between rows, or the reference itself where nothing does; zero where it is not finite."""
    whole = np.where(finite, reference, 0.0)
    if reference.ndim == 0 or reference.shape[0] == 1:
        return whole
    counts = np.maximum(finite.sum(axis=0, keepdims=True), 1)
    varying = np.where(finite, reference - whole.sum(axis=0, keepdims=True) / counts, 0.0)
    return varying if _differs(reference, finite) else whole


def _differs(reference: NDArray[np.float64], finite: NDArray[np.bool_]) -> bool:
    """Whether any element has two finite values among the rows; by comparison, since a mean is rounded."""
    highest = np.where(finite, reference, -np.inf).max(axis=0)
    lowest = np.where(finite, reference, np.inf).min(axis=0)
    return bool((highest > lowest).any())


def _decibels(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> float:
    """The ratio of the two energies in dB; each scaled first, so that squares neither overflow nor vanish."""
    largest_noise = float(np.abs(noise).max(initial=0.0))
    largest_signal = float(np.abs(signal).max(initial=0.0))
    if largest_noise == 0:
        return math.inf
    if largest_signal == 0:
        return -math.inf
    ratio = float(np.mean((signal / largest_signal) ** 2)) / float(np.mean((noise / largest_noise) ** 2))
    return _DECIBELS * math.log10(ratio) + 2 * _DECIBELS * (math.log10(largest_signal) - math.log10(largest_noise))


def _top1_agreement(reference: NDArray[np.float64], answer: NDArray[np.float64]) -> float | None:
    """The share of rows whose first highest score, the class that a client takes, is a right one.

    Where the reference has several highest scores, each of them is right. A row with NaN has no highest score and
    never agrees.
    """
    if reference.ndim != _RANK_OF_SCORES or reference.shape[1] < _FEWEST_CLASSES:
        return None
    taken = np.argmax(answer, axis=1)
    is_right = reference[np.arange(len(taken)), taken] == reference.max(axis=1)
    return float(np.mean(is_right))
