"""The numbers that are counted for one model version, and what is known of one request when it is counted."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import get_args

from kedge_bundle.comparison import Kind
from kedge_server.errors import (
    AnswersUnread,
    AnswerTooLarge,
    DeadlinePassed,
    InvalidInput,
    ModelFailed,
    ModelNotFound,
    NotReady,
    NotSupported,
    QueueFull,
    ServingError,
)
from kedge_server.histogram import Histogram
from kedge_server.served_model import ServedModel
from kedge_server.validation import Contract, InputReport, OutputCount

PHASES = ("decode", "validate", "queue", "run", "encode")
"""One after the other; a request that does not reach one reaches none behind it."""
PROTOCOLS = ("tensorflow-serving", "open-inference")
_NONFINITE_KINDS = ("nan", "inf")

Outcome = tuple[str, str]
"""A code and the reason for it; the reason of an answer is empty."""

_CANCELLED: Outcome = ("CANCELLED", "cancelled")
_FAULT: Outcome = (ServingError.code, ServingError.reason)
OUTCOMES: tuple[Outcome, ...] = (
    ("OK", ""),
    *(
        (error.code, error.reason)
        for error in (InvalidInput, QueueFull, AnswerTooLarge, AnswersUnread, DeadlinePassed, ModelFailed)
    ),
    _CANCELLED,
    _FAULT,
)
"""What can become of a request once its model is found."""

OUTCOMES_NOWHERE: tuple[Outcome, ...] = (
    *((error.code, error.reason) for error in (InvalidInput, ModelNotFound, NotReady, NotSupported)),
    _FAULT,
)
"""What can become of a request whose model is not found."""


@dataclass(slots=True)
class Duration:
    """How often, and how long in all."""

    count: int = 0
    seconds: float = 0.0

    @property
    def ns(self) -> int:
        """The sum in nanoseconds."""
        return round(self.seconds * 1e9)

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class CallRecord:
    """What becomes known of one request on its way; counted once, at its end.

    Attributes:
        protocol: one of PROTOCOLS.
        started_at: `time.perf_counter()` seconds.
        model: None until it was found.
        decode, validate, queue, run, encode: seconds of each phase; below 0 where it was not reached.
        seconds: from its start to its end; 0 while it is under way.
        code: the canonical code of the outcome.
        reason: why it was refused; empty when it was not.
    """

    protocol: str
    started_at: float
    model: ServedModel | None = None
    inputs: InputReport | None = None
    outputs: dict[str, OutputCount] | None = None
    decode: float = -1.0
    validate: float = -1.0
    queue: float = -1.0
    run: float = -1.0
    encode: float = -1.0
    seconds: float = 0.0
    code: str = "OK"
    reason: str = ""


@dataclass(slots=True)
class ModelStatistics:
    """What the Open Inference Protocol's ModelStatistics reports of one model version.

    `success` and `fail` are whole requests; queue and compute are those of successful requests.
    """

    inference_count: int = 0
    execution_count: int = 0
    last_inference_ms: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)

    def count(self, record: CallRecord) -> None:
        """Count a request that has ended."""
        if record.code != "OK":
            self.fail.add(record.seconds)
            return
        self.success.add(record.seconds)
        self.queue.add(record.queue)
        self.compute_input.add(record.decode + record.validate)
        self.compute_infer.add(record.run)
        self.compute_output.add(record.encode)
        self.inference_count += record.inputs.rows if record.inputs else 0
        self.last_inference_ms = time.time_ns() // 1_000_000


class Series:
    """The numbers of one model version; of requests whose model was never found, where nothing has a name.

    Args:
        outcomes: those that begin at zero, so that a rate sees the first event of each.
    """

    def __init__(self, outcomes: tuple[Outcome, ...]) -> None:
        self.requests: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.durations = {protocol: Histogram(Histogram.LATENCY_S) for protocol in PROTOCOLS}
        self.phases = {phase: Histogram(Histogram.LATENCY_S) for phase in PHASES}
        self.batch_rows = Histogram(Histogram.BATCH_ROWS)
        self.rejections: defaultdict[str, int] = defaultdict(int)
        self.input_values: defaultdict[str, int] = defaultdict(int)
        self.input_nonfinite: defaultdict[str, int] = defaultdict(int)
        self.stat_violations: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.output_values: defaultdict[str, int] = defaultdict(int)
        self.output_nonfinite: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.nan_responses = 0
        self.statistics = ModelStatistics()
        for code, reason in outcomes:
            for protocol in PROTOCOLS:
                self.requests[protocol, code] = 0
            if reason:
                self.rejections[reason] = 0

    def begin(self, contract: Contract) -> None:
        """Set every number that has a name to zero, so that a rate sees the first event of each."""
        for spec in contract.signature.inputs:
            self.input_values[spec.name] += 0
            self.input_nonfinite[spec.name] += 0
        for stats in contract.stats:
            for kind in get_args(Kind):
                self.stat_violations[stats.input, kind] += 0
        for spec in contract.signature.outputs:
            self.output_values[spec.name] += 0
            for kind in _NONFINITE_KINDS:
                self.output_nonfinite[spec.name, kind] += 0

    def count(self, record: CallRecord) -> None:
        """Count a request that has ended."""
        self.requests[record.protocol, record.code] += 1
        self.durations[record.protocol].observe(record.seconds)
        phases = (record.decode, record.validate, record.queue, record.run, record.encode)
        for histogram, phase_seconds in zip(self.phases.values(), phases, strict=True):
            if phase_seconds < 0:
                break
            histogram.observe(phase_seconds)
        if record.reason:
            self.rejections[record.reason] += 1
        if record.inputs is not None:
            self._count_inputs(record.inputs)
        if record.outputs is not None:
            self._count_outputs(record.outputs)
        self.statistics.count(record)

    def _count_inputs(self, report: InputReport) -> None:
        for name, values in report.values.items():
            self.input_values[name] += values
        for name, values in report.nonfinite.items():
            self.input_nonfinite[name] += values
        for violation in report.stat_violations:
            self.stat_violations[violation.input, violation.kind] += 1

    def _count_outputs(self, outputs: dict[str, OutputCount]) -> None:
        has_nan = False
        for name, count in outputs.items():
            self.output_values[name] += count.values
            if count.nan or count.inf:
                self.output_nonfinite[name, "nan"] += count.nan
                self.output_nonfinite[name, "inf"] += count.inf
                has_nan = has_nan or count.nan > 0
        self.nan_responses += has_nan
