"""The section on artifacts that were made smaller: how much of Keras' answers is left in them."""

import math
from collections.abc import Iterator

from kedge_bundle.fidelity import FidelityReport
from kedge_exporter.report.data import ReportData
from kedge_exporter.report.markup import Html, join
from kedge_exporter.report.numbers import counted, number, scientific, share
from kedge_exporter.report.sections import explained, row, section, table, wrapped
from kedge_exporter.report.verdicts import badge, title_of


def fidelity_section(data: ReportData) -> Html | None:
    """Signal to noise and agreement of every output; None where nothing was made smaller."""
    found = data.proof.fidelity
    if not found:
        return None
    rows = [one for place, report in enumerate(found) for one in _rows(report, f"/fidelity/{place}")]
    return section(
        "fidelity",
        "What is left in the smaller artifacts",
        explained(
            "They answer otherwise on purpose, so they are asked something else: how much louder the answers are than "
            "what differs from Keras' (signal to noise; 20 dB is ten times), and in how many rows the highest score "
            "stands in the same place."
        ),
        table(
            ["format", "output", "verdict", "signal to noise", "at least", "agreement", "at least", "rows"],
            rows,
            "Fidelity of every output of every smaller artifact",
            numbers_from=3,
        ),
    )


def _rows(report: FidelityReport, at: str) -> Iterator[Html]:
    least = report.budget
    drawn = "your data" if report.source == "data" else "drawn"
    for place, one in enumerate(report.outputs):
        agreement = None if one.agreement is None else share(one.agreement)
        yield row(
            title_of(report.artifact),
            wrapped(one.output),
            badge(one.verdict),
            number(one.snr_db, "snr_db", None if one.snr_db is None else _decibels(one.snr_db)),
            number(least.min_snr_db, f"{at}/budget/min_snr_db", _decibels(least.min_snr_db)),
            number(one.agreement, "agreement", agreement),
            number(least.min_agreement, f"{at}/budget/min_agreement", share(least.min_agreement)),
            join([number(one.rows, "rows", counted(one.rows, "row")), f", {drawn}"]),
            numbers_from=3,
            at=f"{at}/outputs/{place}",
        )


def _decibels(value: float) -> str:
    return "equal" if math.isinf(value) and value > 0 else f"{scientific(value)} dB"
