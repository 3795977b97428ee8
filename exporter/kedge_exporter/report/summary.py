"""The top of the page: one sentence, and a card for every artifact."""

import math
from dataclasses import dataclass

from kedge_bundle.manifest import Artifact
from kedge_bundle.parity import ParityReport
from kedge_exporter.report.data import ReportData
from kedge_exporter.report.findings import Finding, worst_by_output
from kedge_exporter.report.markup import Html, element, join
from kedge_exporter.report.numbers import TIMES, bytes_text, number, scientific, share
from kedge_exporter.report.verdicts import FACES, badge, listed, title_of

_PROVEN = ("bit-exact", "rounding-equivalent")


@dataclass(frozen=True)
class _Judged:
    artifact: Artifact
    place: int
    report: ParityReport | None
    at: str


def sentence(data: ReportData) -> str:
    """What came out, in one sentence."""
    names: dict[str, list[str]] = {}
    for artifact in data.manifest.artifacts:
        names.setdefault(artifact.verdict, []).append(title_of(artifact.name))
    if "failed" in names:
        return f"{listed(names['failed'])} {_verb(names['failed'], 'does', 'do')} not answer as the Keras model does."
    proven = [name for verdict in _PROVEN for name in names.get(verdict, ())]
    parts = []
    if proven:
        is_exact = "rounding-equivalent" not in names
        how = ", bit for bit" if is_exact else ": what differs is rounding"
        parts.append(f"{listed(proven)} {_verb(proven, 'answers', 'answer')} as the Keras model does{how}")
    if tolerated := names.get("within-tolerance"):
        parts.append(f"{listed(tolerated)} {_verb(tolerated, 'answers', 'answer')} within the tolerance")
    if smaller := names.get("within-fidelity"):
        parts.append(f"{listed(smaller)} {_verb(smaller, 'keeps', 'keep')} as much of the answers as was asked for")
    return "; ".join(parts) + "."


def cards(data: ReportData) -> Html:
    """A card for every artifact: its verdict, how far it is from the truth, its size and speed."""
    return element("ul", *(_card(one, data) for one in _judged(data)), class_="cards")


def _judged(data: ReportData) -> list[_Judged]:
    found = []
    for place, artifact in enumerate(data.manifest.artifacts):
        at, report = next(((at, one) for at, one in data.serving if one.format == artifact.name), ("", None))
        found.append(_Judged(artifact, place, report, at))
    return found


def _card(one: _Judged, data: ReportData) -> Html:
    face = FACES[one.artifact.verdict]
    return element(
        "li",
        element("h3", title_of(one.artifact.name)),
        element("p", badge(one.artifact.verdict)),
        *(_distance(one.report, one.at) if one.report is not None else _fidelity(one, data)),
        element("p", _size_and_speed(one), class_="aside"),
        class_=f"card {face.tone}",
    )


def _distance(report: ParityReport, at: str) -> list[Html]:
    times = report.times_rounding
    if times is None:
        largest = number(report.max_abs_error, f"{at}#max_abs_error")
        return [element("p", element("strong", largest), " is the largest error, in units of the output")]
    shown = number(times, f"{at}#times_rounding", f"{times:.2g} {TIMES}")
    worst = max(worst_by_output(report, at), key=lambda finding: finding.used, default=None)
    said = element("p", element("strong", shown), " Keras' own rounding error")
    return [said] if worst is None or worst.output.allowed is None else [said, _gauge(worst)]


def _gauge(worst: Finding) -> Html:
    """How much of what is allowed was used, as a bar with the numbers under it."""
    used = min(worst.used, 1.0)
    return element(
        "div",
        element("span", element("span", style=f"width:{max(used, 0.01):.1%}"), class_="bar", aria_hidden="true"),
        element(
            "small",
            number(worst.output.error, f"{worst.at}/error"),
            " of ",
            number(worst.output.allowed, f"{worst.at}/allowed"),
            " allowed",
        ),
        class_="gauge",
    )


def _fidelity(one: _Judged, data: ReportData) -> list[Html]:
    if one.artifact.quantized is None:
        return []
    fidelity = one.artifact.quantized.fidelity
    place = next((i for i, report in enumerate(data.proof.fidelity) if report == fidelity), None)
    at = None if place is None else f"/fidelity/{place}"
    snr, agreement = fidelity.snr_db, fidelity.agreement
    parts = []
    if snr is not None:
        said = number(
            snr, None if at is None else f"{at}#snr_db", "equal" if snr == math.inf else f"{scientific(snr)} dB"
        )
        parts.append(element("p", element("strong", said), " signal to noise"))
    if agreement is not None:
        said = number(agreement, None if at is None else f"{at}#agreement", share(agreement))
        parts.append(element("p", element("strong", said), " of the rows have the same highest score"))
    return parts


def _size_and_speed(one: _Judged) -> Html:
    artifact, at = one.artifact, f"manifest.json/artifacts/{one.place}"
    rows = "any number of rows" if artifact.batch == "dynamic" else f"{artifact.batch} rows a run"
    parts = [number(artifact.bytes, f"{at}#bytes", bytes_text(artifact.bytes)), rows]
    if artifact.latency is not None:
        p50 = artifact.latency.p50_ms
        parts.append(number(p50, f"{at}/latency/p50_ms", f"{scientific(p50)} ms a run"))
    return join(parts, " · ")


def _verb(names: list[str], singular: str, plural: str) -> str:
    return singular if len(names) == 1 else plural
