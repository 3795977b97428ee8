"""The figures that the project promises of serving, and the tables that they are printed as."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks.load import Load

Verdict = Literal["kept", "missed", "failed", "not measured"]


@dataclass(frozen=True)
class Figure:
    """A promise.

    Attributes:
        name: for `--figures`.
        what: for people.
        bound: what the value must not pass.
        is_least: whether the bound is the least value, not the most.
        unit: of the value and its bound; empty for ratios.
    """

    name: str
    what: str
    bound: float
    is_least: bool = False
    unit: str = ""

    @property
    def must_be(self) -> str:
        """The bound as a table shows it."""
        return f"{'≥' if self.is_least else '≤'} {self.bound:g} {self.unit}".rstrip()


FIGURES = (
    Figure("mlp", "MLP, ModelInfer, 8 x 4: CPU per request ÷ asyncio echo's", 1.5),
    Figure("mlp-kserve", "MLP, ModelInfer, 8 x 4: CPU per request ÷ KServe's", 0.55),
    Figure("mlp-mlserver", "MLP, ModelInfer, 8 x 4: CPU per request ÷ MLServer's", 0.40),
    Figure("stream", "MLP, ModelStreamInfer: CPU per message ÷ unary echo's", 1.2),
    Figure("predict", "MLP, 8 x 4: Predict's CPU per request ÷ ModelInfer's", 1.15),
    Figure("triton", "MobileNet, 8 x 2: throughput ÷ Triton's Python backend, 2 instances", 1.0, is_least=True),
    Figure("bare", "MobileNet, 8 x 2: throughput ÷ best bare onnxruntime", 0.7, is_least=True),
    Figure("open-loop", "MobileNet at half of that, open loop: p99 ÷ bare single-row latency", 4),
    Figure("two-models", "MobileNet and ResNet50 together: what each keeps of its own throughput", 0.45, is_least=True),
    Figure("start", "MLP, ONNX: start to ready", 1.5, unit="s"),
    Figure("memory", "MLP, ONNX: resident memory, idle after a request", 120, unit="MB"),
)


@dataclass(frozen=True)
class Result:
    """What came of a figure.

    Attributes:
        figure: the promise.
        value: the measured value; None where there is none.
        remark: why there is none, or what else is worth knowing.
        has_failed: there is none because a side did not answer as it should.
        least: the value of the least that a server of this stack can do; see `least.py`.
        least_checked: of the least that checks and counts.
    """

    figure: Figure
    value: float | None
    remark: str = ""
    has_failed: bool = False
    least: float | None = None
    least_checked: float | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the promise is kept."""
        if self.value is None:
            return "failed" if self.has_failed else "not measured"
        kept = self.value >= self.figure.bound if self.figure.is_least else self.value <= self.figure.bound
        return "kept" if kept else "missed"


@dataclass(frozen=True)
class Lane:
    """One side under one load, with the rounds that it went through."""

    title: str
    side: str
    rounds: tuple[Load, ...]

    @property
    def cpu_us(self) -> float:
        """Median CPU time of the server per request, microseconds."""
        return median(each.cpu_us for each in self.rounds)

    @property
    def per_second(self) -> float:
        """Median of the requests answered in a second."""
        return median(each.per_second for each in self.rounds)

    @property
    def p50_ms(self) -> float:
        """Median over the rounds of their median latencies, milliseconds."""
        return median(each.p50_ms for each in self.rounds)

    @property
    def p99_ms(self) -> float:
        """Median over the rounds of their 99th percentiles, milliseconds."""
        return median(each.p99_ms for each in self.rounds)


def lanes_table(lanes: Sequence[Lane]) -> str:
    """What each side did, a line each; the load's name where it changes."""
    rows = [("load", "side", "req/s", "p50 ms", "p99 ms", "CPU µs/req")]
    before = ""
    for lane in lanes:
        cpu = "-" if math.isnan(lane.cpu_us) else f"{lane.cpu_us:,.0f}"
        numbers = (f"{lane.per_second:,.0f}", f"{lane.p50_ms:.2f}", f"{lane.p99_ms:.2f}", cpu)
        rows.append((lane.title if lane.title != before else "", lane.side, *numbers))
        before = lane.title
    return _aligned(rows, left=2)


def figures_table(results: Sequence[Result]) -> str:
    """What was promised, what was measured, and what to think of it."""
    rows = [("figure", "measured", "must be", "the least", "checked", "", "")]
    for each in results:
        values = (each.value, each.least, each.least_checked)
        value, *limits = ["-" if one is None else f"{one:.2f} {each.figure.unit}".rstrip() for one in values]
        rows.append((each.figure.what, value, each.figure.must_be, *limits, each.verdict, each.remark))
    return _aligned(rows, left=1, left_from=5)


def as_document(lanes: Iterable[Lane], results: Iterable[Result]) -> dict[str, object]:
    """The same for programs: medians, and every round behind them."""
    return {
        "lanes": [
            {
                "load": lane.title,
                "side": lane.side,
                "per_second": lane.per_second,
                "p50_ms": lane.p50_ms,
                "p99_ms": lane.p99_ms,
                **_without_nan({"cpu_us": lane.cpu_us}),
                "rounds": [_without_nan(vars(each)) for each in lane.rounds],
            }
            for lane in lanes
        ],
        "figures": [
            {
                "name": each.figure.name,
                "what": each.figure.what,
                "value": each.value,
                "least": each.least,
                "least_checked": each.least_checked,
                "must_be": each.figure.must_be,
                "verdict": each.verdict,
                "remark": each.remark,
            }
            for each in results
        ],
    }


def _without_nan(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN; what was not measured is null there."""
    return {name: None if math.isnan(number) else number for name, number in numbers.items()}


def _aligned(rows: Sequence[Sequence[str]], left: int, left_from: int = 99) -> str:
    """Columns of equal width: the first `left` and those from `left_from` on to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number < left or number >= left_from else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
