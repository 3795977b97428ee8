"""What is checked before the queue and after the run. numpy only: no wire type, no runtime.

Reports, not exceptions, come first: what a refused request held is counted, too.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.comparison import FEW_VALUES, Comparison, Limits, StatViolation
from kedge_bundle.signature import Signature, Tensors, TensorSpec, Violation, row_count
from kedge_bundle.stats import InputStats
from kedge_server.errors import InvalidInput

StatPolicy = Literal["off", "observe", "reject"]
NonfinitePolicy = Literal["observe", "reject"]


@dataclass(frozen=True)
class Policy:
    """What a request may hold.

    Attributes:
        nonfinite_inputs: whether NaN and infinity are refused or only counted.
        nonfinite_outputs: whether an answer with NaN or infinity becomes an error.
        input_stats: what happens to values unlike those of training.
        limits: how far is too far.
        max_rows: rows of one request; more could never be queued.
    """

    nonfinite_inputs: NonfinitePolicy = "reject"
    nonfinite_outputs: NonfinitePolicy = "observe"
    input_stats: StatPolicy = "observe"
    limits: Limits = field(default_factory=Limits)
    max_rows: int = 1024


@dataclass(frozen=True)
class Contract:
    """What a model promises its callers and expects of them.

    Attributes:
        signature: names, dtypes and shapes.
        stats: what training saw of the inputs.
        batch: `dynamic`, or the rows of every run of the artifact that serves.
        strings: which bytes the artifact that serves can take in an input of strings: any, or UTF-8 only.
    """

    signature: Signature
    stats: tuple[InputStats, ...] = ()
    batch: Literal["dynamic"] | int = "dynamic"
    strings: Literal["bytes", "utf-8"] = "bytes"

    @cached_property
    def _expected(self) -> dict[Limits, "Expected"]:
        """What was worked out already: a server has one set of limits, and asks with every request."""
        return {}

    def expected(self, limits: Limits) -> "Expected":
        """What is looked at in every request, worked out once."""
        expected = self._expected.get(limits)
        if expected is None:
            comparisons = tuple(Comparison(stats, limits) for stats in self.stats)
            expected = self._expected[limits] = Expected(comparisons, tuple(self._inputs(comparisons)))
        return expected

    def _inputs(self, comparisons: tuple[Comparison, ...]) -> Iterable["ExpectedInput"]:
        for spec in self.signature.inputs:
            if spec.shape:
                own = tuple(comparison for comparison in comparisons if comparison.input == spec.name)
                yield ExpectedInput(spec.name, spec.numpy_dtype, list(spec.shape[1:]), spec.shape[0], own)


@dataclass(frozen=True, slots=True)
class Expected:
    """What requests are compared with: `comparisons` with training, of all inputs, and the inputs that have rows."""

    comparisons: tuple[Comparison, ...]
    inputs: tuple["ExpectedInput", ...]


@dataclass(frozen=True, slots=True)
class ExpectedInput:
    """One input: its dtype, the sizes behind its rows, its rows (None: any number), and what compares it."""

    name: str
    dtype: np.dtype[np.generic]
    trailing: list[int | None]
    rows: int | None
    comparisons: tuple[Comparison, ...]

    def takes(self, sizes: list[int]) -> bool:
        """Whether these are sizes that it may have behind its rows."""
        if sizes == self.trailing:
            return True
        return len(sizes) == len(self.trailing) and all(map(_fits, self.trailing, sizes))


@dataclass(slots=True)
class InputReport:
    """What was found in one request's inputs.

    Attributes:
        rows: the number of rows; 0 where the inputs do not agree on one.
        values: input -> how many values it holds; only inputs that have the right dtype and shape.
        nonfinite: input -> how many of them are NaN or infinite; only where there are some.
        stat_violations: how it differs from training, whatever the policy.
        violations: why it is refused; empty when it is not.
    """

    rows: int = 0
    values: dict[str, int] = field(default_factory=dict)
    nonfinite: dict[str, int] = field(default_factory=dict)
    stat_violations: tuple[StatViolation, ...] = ()
    violations: list[Violation] = field(default_factory=list)

    def raise_if_refused(self) -> None:
        """Raise InvalidInput naming every violation, if there is one."""
        if self.violations:
            raise InvalidInput(self.violations)


@dataclass(slots=True)
class OutputCount:
    """How many values one output holds, and how many of them are no numbers."""

    values: int
    nan: int = 0
    inf: int = 0


def check_inputs(
    inputs: Tensors,
    contract: Contract,
    policy: Policy,
    decoding: tuple[Violation, ...] = (),
    outputs: tuple[str, ...] = (),
) -> InputReport:
    """Compare one request with the model's contract and with what training saw.

    Runs before the queue, so that a bad request harms only itself.

    Args:
        inputs: by the caller's names.
        contract: of the model.
        policy: what is refused.
        decoding: what was found wrong while decoding; an input named there and absent is not missing as well.
        outputs: the outputs asked for; empty is all.
    """
    if not decoding and not outputs:
        rows = _usual_rows(inputs, contract, policy)
        if rows:
            return InputReport(rows, {name: array.size for name, array in inputs.items()})
    signature = contract.signature
    report = InputReport()
    found = signature.input_violations(inputs)
    well_formed = signature.inputs
    if found or decoding:
        undecoded = {violation.field for violation in decoding} - inputs.keys()
        found = [violation for violation in found if violation.field not in undecoded]
        refused = {violation.field for violation in (*found, *decoding)}
        well_formed = tuple(spec for spec in signature.inputs if spec.name not in refused)
    else:
        report.rows = row_count({name: inputs[name] for name in signature.input_names})
        found += _row_violations(report.rows, contract, policy)
    for spec in well_formed:
        found += _finite_violations(spec, inputs[spec.name], policy, report)
        if spec.dtype == "string" and contract.strings == "utf-8":
            found += _text_violations(spec, inputs[spec.name])
    if policy.input_stats != "off" and contract.stats:
        names = {spec.name for spec in well_formed}
        report.stat_violations = tuple(
            violation
            for comparison in contract.expected(policy.limits).comparisons
            if comparison.input in names
            for array in (inputs[comparison.input],)
            # Free axes may be empty; there is nothing to compare then.
            if array.dtype.kind in "biuf" and array.size
            for violation in comparison.violations(array)
        )
    if policy.input_stats == "reject":
        # Non-finite values have a policy of their own, which has spoken above.
        found += [Violation(v.input, v.describe()) for v in report.stat_violations if v.kind != "nonfinite"]
    if outputs:
        found += _output_violations(outputs, signature)
    report.violations = [*decoding, *found]
    return report


def _usual_rows(inputs: Tensors, contract: Contract, policy: Policy) -> int:
    """The rows of a request with which nothing is wrong, found out in a tenth of the time; 0 where something may be."""
    expected = contract.expected(policy.limits).inputs
    if not len(inputs) == len(expected) == len(contract.signature.inputs):
        return 0
    rows = 0
    for one in expected:
        array = inputs.get(one.name)
        if array is None or array.dtype != one.dtype or array.dtype.kind == "O" or not array.ndim:
            return 0
        count, *sizes = array.shape
        if one.rows not in (None, count) or rows not in (0, count) or not one.takes(sizes):
            return 0
        rows = count
        if not array.size or not _is_usual(array, one.comparisons, policy):
            return 0
    fills_batches = contract.batch == "dynamic" or not rows % contract.batch
    return rows if rows <= policy.max_rows and fills_batches else 0


def _fits(wanted: int | None, size: int) -> bool:
    return wanted is None or wanted == size


def _is_usual(array: NDArray[np.generic], comparisons: tuple[Comparison, ...], policy: Policy) -> bool:
    """Whether every value is finite, and like those of training where anybody asks."""
    if comparisons and policy.input_stats != "off" and array.dtype.kind in "biuf":
        return all(comparison.is_clean(array) for comparison in comparisons)
    return _is_finite(array)


def _is_finite(array: NDArray[np.generic]) -> bool:
    """Whether no value is NaN or infinite."""
    if array.dtype.kind != "f":
        return True
    if array.size <= FEW_VALUES:
        return all(map(math.isfinite, array.ravel().tolist()))
    return bool(np.count_nonzero(np.isfinite(array)) == array.size)


def check_outputs(outputs: Tensors) -> dict[str, OutputCount]:
    """Count the values of each output, and the NaN and infinite ones among them."""
    return {name: _count(array) for name, array in outputs.items()}


def nonfinite_outputs(counts: dict[str, OutputCount]) -> str:
    """One sentence on the outputs that hold NaN or infinity; empty when none does."""
    return "; ".join(
        f"output '{name}' holds {count.nan} NaN and {count.inf} infinite of {count.values} values"
        for name, count in counts.items()
        if count.nan or count.inf
    )


def _row_violations(rows: int, contract: Contract, policy: Policy) -> Iterable[Violation]:
    name = contract.signature.input_names[0]
    if rows > policy.max_rows:
        yield Violation(
            name, f"the request has {rows} rows; this server takes {policy.max_rows} at most (--queue-rows): split it"
        )
    elif contract.batch != "dynamic" and rows % contract.batch:
        yield Violation(name, f"the request has {rows} rows; this model runs {contract.batch} rows at a time")


def _finite_violations(
    spec: TensorSpec, array: NDArray[np.generic], policy: Policy, report: InputReport
) -> Iterable[Violation]:
    report.values[spec.name] = array.size
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if finite.all():
        return
    bad = array.size - int(np.count_nonzero(finite))
    report.nonfinite[spec.name] = bad
    if policy.nonfinite_inputs == "reject":
        first = np.unravel_index(int(np.argmin(finite)), array.shape)
        where = [int(index) for index in first]
        yield Violation(
            spec.name,
            f"input '{spec.name}': expected finite values, got {bad} of {array.size} that are NaN or infinite; "
            f"the first is {array[first]} at {where}",
        )


def _text_violations(spec: TensorSpec, array: NDArray[np.generic]) -> Iterable[Violation]:
    for place, item in np.ndenumerate(array):
        try:
            str(item, "utf-8")
        except UnicodeDecodeError as error:
            yield Violation(
                spec.name,
                f"input '{spec.name}': expected strings in UTF-8, which is all that the served format can carry, "
                f"got the byte 0x{error.object[error.start]:02x} in the string at {list(place)}",
            )
            return


def _output_violations(outputs: tuple[str, ...], signature: Signature) -> Iterable[Violation]:
    for name in outputs:
        if name not in signature.output_names:
            there = ", ".join(map(repr, signature.output_names))
            yield Violation(name, f"output '{name}': the model has no such output; it has {there}")


def _count(array: NDArray[np.generic]) -> OutputCount:
    if _is_finite(array):
        return OutputCount(array.size)
    nan = int(np.count_nonzero(np.isnan(array)))
    return OutputCount(array.size, nan=nan, inf=int(np.count_nonzero(np.isinf(array))))
