"""Exports saved models of the zoo: `python -m tests.zoo.export MODELS OUTPUT NAME ...`; one JSON line each.

Many in one process, since TensorFlow takes seconds to start. Everything else is what `export-model` does.
"""

import json
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedge_bundle.cases import read_cases
from kedge_bundle.judge import Judge
from kedge_bundle.manifest import FormatName
from kedge_bundle.parity import Budget, ParityReport
from kedge_bundle.replay import replay
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.store import open_bundle, staging
from kedge_exporter.errors import ExportError
from kedge_exporter.export import export
from kedge_exporter.progress import Progress
from kedge_exporter.request import Exported, ExportRequest
from tests.zoo.kept_processes import KeptProcesses
from tests.zoo.models import ZOO
from tests.zoo.outcomes import FormatOutcome
from tests.zoo.registry import ZooModel


@dataclass(frozen=True)
class Places:
    """Where the saved models are, where the bundles go, and who proves them."""

    models: Path
    output: Path
    processes: KeptProcesses


def export_model(model: ZooModel, places: Places) -> dict[str, Any]:
    """Export one model: all formats that must be proven at once, each that must be refused on its own."""
    begun = time.monotonic()
    outcomes: list[FormatOutcome] = []
    notes: list[str] = []
    answers: float | None = None
    for formats in (model.proven, *((name,) for name in model.refused)):
        if not formats:
            continue
        try:
            exported = _export(model, places, formats)
        except ExportError as error:
            # One format's refusal ends the whole export: ask for each alone, to see all of them.
            outcomes += _each(model, places, formats, error)
            continue
        outcomes += _proven(exported)
        notes += exported.notes
        if model.answers is not None:
            answers = _difference(exported.bundle, model.answers)
    return {
        "name": model.name,
        "answers": answers,
        "formats": [outcome.model_dump() for outcome in outcomes],
        "notes": notes,
        "seconds": round(time.monotonic() - begun, 2),
    }


def _each(model: ZooModel, places: Places, formats: tuple[FormatName, ...], error: ExportError) -> list[FormatOutcome]:
    if len(formats) == 1:
        return [FormatOutcome(format=formats[0], exit_code=error.exit_code, sentence=str(error))]
    found = []
    for name in formats:
        try:
            found += _proven(_export(model, places, (name,)))
        except ExportError as alone:
            found.append(FormatOutcome(format=name, exit_code=alone.exit_code, sentence=str(alone)))
    return found


def _export(model: ZooModel, places: Places, formats: tuple[FormatName, ...]) -> Exported:
    data = places.models / f"{model.name}.npz"
    request = ExportRequest(
        model=places.models / f"{model.name}.keras",
        name=model.name,
        output=places.output,
        formats=formats,
        custom=model.custom,
        data=data if data.exists() else None,
    )
    with staging(places.output, model.name) as staged, tempfile.TemporaryDirectory() as work:
        return export(request, staged, Path(work), Progress(lambda _event: None), places.processes)


def _proven(exported: Exported) -> list[FormatOutcome]:
    parity = json.loads((exported.bundle / "parity.json").read_bytes())
    reports = {report.format: report for report in map(ParityReport.model_validate, reversed(parity["reports"]))}
    return [
        FormatOutcome(
            format=result.format,
            exit_code=0,
            verdict=result.verdict,
            batch=result.batch,
            bytes=result.bytes,
            cases=result.cases,
            error=_relative_error(reports[result.format]),
            seconds=round(
                sum(exported.seconds.get(f"{phase} {result.format}", 0.0) for phase in ("convert", "prove")), 2
            ),
        )
        for result in exported.formats
    ]


def _relative_error(report: ParityReport) -> float:
    """The largest error of any output, as a share of that output's largest value over all cases."""
    errors: dict[str, float] = {}
    scales: dict[str, float] = {}
    for case in report.cases:
        for output in case.outputs:
            errors[output.output] = max(errors.get(output.output, 0.0), output.max_abs_error or 0.0)
            scales[output.output] = max(scales.get(output.output, 0.0), output.scale or 0.0)
    return max((error / scales[name] for name, error in errors.items() if error), default=0.0)


def _difference(bundle: Path, answers: Path) -> float:
    """How far the edge artifacts are from the answers of the file's maker, as a share of the output's largest value."""
    opened = open_bundle(bundle)
    cases = read_cases(answers)
    # Nothing is allowed: only how large the errors are is of interest.
    judge = Judge.of(cases, Budget(rtol=0.0, atol=0.0))
    found = []
    for artifact in opened.manifest.artifacts:
        if artifact.format != "saved_model":
            with open_runtime(opened, artifact) as runtime:
                found.append(_relative_error(replay(runtime, cases, judge)))
    return max(found)


def main(models: Path, output: Path, names: list[str]) -> None:
    with KeptProcesses() as processes:
        places = Places(models, output, processes)
        for name in names:
            try:
                line = export_model(ZOO[name], places)
            except Exception as error:  # noqa: BLE001 (what is no refusal is a fault of Kedge, and one model's outcome)
                traceback.print_exception(error)
                line = {"name": name, "fault": f"exit code 6: {type(error).__name__}: {error}"}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
