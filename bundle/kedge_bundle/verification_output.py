"""What `verify-model` prints: a table for people, or one JSON document for programs."""

import json

from kedge_bundle.proven import described
from kedge_bundle.store import Bundle
from kedge_bundle.toolchain import other_versions
from kedge_bundle.verification import NO_RECORD, NOT_PROVEN, PROVEN, Outcome, Record


def as_table(bundle: Bundle, outcomes: list[Outcome], record: Record, code: int) -> str:
    """The table that people read, with one sentence at its end."""
    head = ("format", "device", "cases", "rows", "verdict", "largest error")
    rows = [head]
    for outcome in outcomes:
        report = outcome.report
        cases = report.cases if report else ()
        rows.append(
            (
                outcome.artifact.name,
                report.device if report else "-",
                str(len(cases)),
                str(sum(case.rows for case in cases)),
                outcome.verdict,
                f"{report.max_abs_error:.2e}" if report and cases else "-",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{outcome.artifact.name}: {outcome.explanation}" for outcome in outcomes if outcome.explanation]
    lines += [f"note: {note}" for note in _notes(bundle, outcomes)]
    manifest = bundle.manifest
    verdict = {
        PROVEN: "answers as Keras did",
        NO_RECORD: "answers as Keras did",
        NOT_PROVEN: "does NOT answer as Keras did",
    }
    of_quantized = any(outcome.report and outcome.artifact.quantized for outcome in outcomes)
    own = "; a quantized artifact is asked for its own answers of when it was judged" if of_quantized else ""
    lines.append(f"{manifest.name} version {manifest.version} {verdict.get(code, 'could not be verified')} here{own}.")
    if record.path:
        lines.append(f"attested: {record.path}")
    return "\n".join(lines)


def as_json(bundle: Bundle, outcomes: list[Outcome], record: Record, code: int) -> str:
    """One JSON document with every number."""
    # Reports go through text: only there does the schema write NaN and infinity as JSON can hold them.
    document: dict[str, object] = {
        "bundle": str(bundle.directory),
        "name": bundle.manifest.name,
        "version": bundle.manifest.version,
        "exit_code": code,
        "notes": _notes(bundle, outcomes),
        "attestation": str(record.path) if record.path else None,
        "formats": [
            {
                "format": outcome.artifact.name,
                "verdict": outcome.verdict,
                "explanation": outcome.explanation,
                "options": outcome.options.model_dump(),
                "report": json.loads(outcome.report.model_dump_json()) if outcome.report else None,
            }
            for outcome in outcomes
        ],
    }
    if record.problem:
        document["error"] = record.problem
    return json.dumps(document, indent=2, allow_nan=False)


def _notes(bundle: Bundle, outcomes: list[Outcome]) -> list[str]:
    """Options that are not the manifest's; the versions that made the bundle, where those that ran it are others."""
    checked = [outcome for outcome in outcomes if outcome.report is not None]
    options = [
        f"run with {described(outcome.options)}; the manifest's proof is of {described(outcome.artifact.options)}"
        for outcome in checked
        if outcome.options != outcome.artifact.options
    ]
    versions_ = [str(other) for one in checked for other in other_versions(bundle.manifest, one.artifact.format)]
    return list(dict.fromkeys([*options, *versions_]))
