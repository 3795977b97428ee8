"""The sections with the numbers of the proof: what was measured, how it was judged, and every case."""

from collections.abc import Callable, Iterator

from kedge_bundle.parity import OutputParity, ParityReport
from kedge_exporter.report.data import ReportData
from kedge_exporter.report.findings import Finding, findings, worst_by_output
from kedge_exporter.report.markup import Html, element, join
from kedge_exporter.report.numbers import counted, number, share
from kedge_exporter.report.sections import explained, folded, row, section, table, wrapped
from kedge_exporter.report.verdicts import badge, title_of
from kedge_exporter.sensitivity import LOGITS

_MOST_ROWS = 400
"""Of all cases together; what is more stands in `parity.json` alone."""

_FIELDS: dict[str, Callable[[OutputParity], float | None]] = {
    "error": lambda one: one.error,
    "keras_error": lambda one: one.keras_error,
    "allowed": lambda one: one.allowed,
    "max_abs_error": lambda one: one.max_abs_error,
    "rms_error": lambda one: one.rms_error,
    "p999_error": lambda one: one.p999_error,
    "max_ulps": lambda one: one.max_ulps,
    "tolerance": lambda one: one.tolerance,
}
_HEAD = {
    "error": "error",
    "keras_error": "Keras' own",
    "allowed": "allowed",
    "max_abs_error": "largest",
    "rms_error": "RMS",
    "p999_error": "99.9 %",
    "max_ulps": "ULPs",
    "tolerance": "tolerance",
}
_TERMS = {
    "graph optimization disabled": "the same file in the same runtime without its rewriting: onnxruntime without "
    "optimizations, LiteRT without XNNPACK",
    "error, Keras' own, allowed": "distance from the truth, in units of the channel's largest value",
    "largest, RMS, 99.9 %": "the same distance in units of the output: the largest, the root mean square, and what 999 "
    "of 1,000 values stay below",
    "ULPs": "the largest, in units in the last place: the steps between neighbouring numbers of the output's type",
    "cosine": "of the two answers as vectors; 1 is the same direction",
    "top 1": "rows with the same highest score, and how many were too close to call",
    "NaN, ∞": "how many Keras answers, and how many the artifact",
}


def error_tables(data: ReportData) -> Html:
    """The table of the worst cases, the meaning of its columns, and every case behind it."""
    return join(
        [
            _worst_table("The worst case of every output, by format and session", data.sessions),
            folded("What the columns mean", element("dl", *_terms(_TERMS), class_="terms")),
            *_every_case(data.sessions),
        ]
    )


def logits_section(data: ReportData) -> Html | None:
    """What went into a last softmax or sigmoid, which hide errors."""
    if not data.logits:
        return None
    return section(
        "logits",
        "Before the last softmax or sigmoid",
        explained(
            "A softmax that is sure of itself answers 0 and 1 whatever its input does, so the logits, which it was "
            "given, are compared as well."
        ),
        _worst_table("The worst case of every output's logits", data.logits),
        *_every_case(data.logits),
    )


def _worst_table(caption: str, reports: list[tuple[str, ParityReport]]) -> Html:
    found = [one for at, report in reports for one in worst_by_output(report, at)]
    fields = _fields_of(found)
    many = len({one.output.output for one in found}) > 1
    return table(
        [
            "format",
            *(["output"] if many else []),
            "worst case",
            "verdict",
            *(_HEAD[field] for field in fields),
            "cosine",
            "top 1",
            "NaN, ∞",
        ],
        [
            row(
                _session(one.report),
                *([wrapped(one.output.output)] if many else []),
                one.case.case,
                badge(one.output.verdict),
                *_numbers(one, fields),
                numbers_from=3 + many,
                at=one.at,
            )
            for one in sorted(found, key=lambda one: _place_of(one, found))
        ],
        caption,
        numbers_from=3 + many,
    )


def _every_case(reports: list[tuple[str, ParityReport]]) -> Iterator[Html]:
    left = _MOST_ROWS
    for at, report in reports:
        found = list(findings(report, at))
        if len(report.cases) == 1:  # the table of the worst cases has all of it
            continue
        shown, left = found[:left], max(left - len(found), 0)
        name = f"{title_of(report.format)}, {report.session}" if report.session else title_of(report.format)
        more = len(found) - len(shown)
        fields = _fields_of(shown)
        rows = [
            row(
                one.case.case,
                wrapped(one.output.output),
                badge(one.output.verdict),
                *_numbers(one, fields),
                numbers_from=3,
                at=one.at,
            )
            for one in shown
        ]
        head = ["case", "output", "verdict", *(_HEAD[field] for field in fields), "cosine", "top 1", "NaN, ∞"]
        yield folded(
            f"{name}: all {counted(len(report.cases), 'case')}",
            table(head, rows, f"Every case of {name}", numbers_from=3) if rows else None,
            explained(f"{more:,} more rows are in parity.json.") if more else None,
        )


def _numbers(one: Finding, fields: list[str]) -> Iterator[Html | None]:
    for field in fields:
        yield number(_FIELDS[field](one.output), field)
    yield number(one.output.cosine, "cosine", None if one.output.cosine is None else f"{one.output.cosine:.9g}")
    yield _top1(one.output)
    yield _nonfinite(one.output)


def _top1(one: OutputParity) -> Html | None:
    close = None
    if one.top1_too_close:
        close = join([" (", number(one.top1_too_close, "top1_too_close"), " too close)"])
    agreement = one.top1_agreement
    return join([number(agreement, "top1_agreement", None if agreement is None else share(agreement)), close])


def _nonfinite(one: OutputParity) -> Html:
    """Counts in Keras' answers and in the artifact's; a dash where there are none on either side."""
    if not one.nonfinite_expected and not one.nonfinite_actual:
        return number(None)
    nan = (number(one.nan_expected, "nan_expected"), " / ", number(one.nan_actual, "nan_actual"))
    infinite = (number(one.inf_expected, "inf_expected"), " / ", number(one.inf_actual, "inf_actual"))
    return join([*nan, ", ", *infinite])


def _fields_of(found: list[Finding]) -> list[str]:
    """The columns that have a number in any row."""
    return [field for field, read in _FIELDS.items() if any(read(one.output) is not None for one in found)]


def _place_of(one: Finding, found: list[Finding]) -> int:
    """The outputs in their order, each with all formats side by side."""
    return list(dict.fromkeys(other.output.output for other in found)).index(one.output.output)


def _session(report: ParityReport) -> Html:
    session = None if report.session in ("", LOGITS) else element("small", report.session)
    return join([title_of(report.format), session])


def _terms(terms: dict[str, str]) -> Iterator[Html]:
    for term, meaning in terms.items():
        yield element("dt", term)
        yield element("dd", meaning)
