"""The table at the end of an export: a line for every artifact, with as many columns as there is something to say."""

import math
from collections.abc import Sequence

from kedge_exporter.request import FormatResult

_HEADER = ("format", "bytes", "batch", "verdict", "largest error")
_LONG_HEADER = (
    "format", "bytes", "share", "batch", "verdict", "largest error", "SNR dB", "agreement", "p50 ms", "p99 ms",
)  # fmt: skip
_NUMBERS = {"bytes", "share", "SNR dB", "agreement", "p50 ms", "p99 ms"}


def table_lines(results: Sequence[FormatResult]) -> list[str]:
    """The table, aligned; sizes, fidelity and latency have columns where they were measured."""
    is_long = any(result.latency is not None or result.fidelity is not None for result in results)
    header = _LONG_HEADER if is_long else _HEADER
    rows = [header, *((_long_cells if is_long else _cells)(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    return ["  ".join(map(_aligned, header, row, widths)).rstrip() for row in rows]


def _cells(result: FormatResult) -> tuple[str, ...]:
    error = "-" if result.max_abs_error is None else f"{result.max_abs_error:.2g}"
    return (result.format, f"{result.bytes:,}", str(result.batch), result.verdict, error)


def _long_cells(result: FormatResult) -> tuple[str, ...]:
    name, size, batch, verdict, error = _cells(result)
    fidelity, latency = result.fidelity, result.latency
    return (
        name,
        size,
        f"{result.share:.0%}",
        batch,
        verdict,
        error,
        "-" if fidelity is None or fidelity.snr_db is None else _decibels(fidelity.snr_db),
        "-" if fidelity is None or fidelity.agreement is None else f"{fidelity.agreement:.1%}",
        "-" if latency is None else _milliseconds(latency.p50_ms),
        "-" if latency is None else _milliseconds(latency.p99_ms),
    )


def _decibels(value: float) -> str:
    return "equal" if math.isinf(value) and value > 0 else f"{value:.1f}"


def _milliseconds(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004


def _aligned(column: str, cell: str, width: int) -> str:
    return cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
