"""Smaller artifacts beside the proven ones: made, judged against Keras, answered for, and timed with all the others."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.fidelity import FidelityBudget
from kedge_bundle.manifest import Artifact, Quantization, Quantized
from kedge_bundle.parity import Budget
from kedge_bundle.signature import Tensors, row_count
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FidelityNotMet, ParityNotProven
from kedge_exporter.formats.quantized import Task, quantize
from kedge_exporter.measure import Measured, MeasureJob, measure
from kedge_exporter.progress import Progress
from kedge_exporter.publish import GOLDEN, Draft
from kedge_exporter.quantize_flags import THRESHOLDS
from kedge_exporter.quantize_rows import Rows

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel
    from kedge_exporter.tracing import Frozen

_REPLAY_RTOL: dict[Quantization, float] = {"float16": 1e-2, "dynamic": 2e-2, "int8": 2e-2}
"""The error of a replay on another processor, as a share of the output's largest value; of int8, two or three steps."""

_DRIFTS = 2.0
"""Another processor's kernels may differ from those that serve here by twice what the plain ones differ here."""

_KINDS: dict[str, Quantization] = {"float16": "float16", "dynamic": "dynamic", "int8": "int8"}

_WORTH_A_NOTE = 0.1
_SLOWER = 1.1
"""Below that, a difference in latency is noise."""
_ANSWERED_AT_ONCE = 32


@dataclass(frozen=True)
class Smaller:
    """What came of it: every artifact of the bundle with its latency, and what the user should know."""

    artifacts: tuple[Artifact, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Quantizer:
    """What the smaller artifacts of one export are made from and judged by."""

    loaded: "LoadedModel"
    frozen: "Frozen"
    draft: Draft
    rows: Rows
    work: Path
    progress: Progress

    def run(self, proven: tuple[Artifact, ...]) -> Smaller:
        """Make what was asked for, judge it, and time everything.

        Args:
            proven: the float32 artifacts.

        Raises:
            FormatImpossible: an artifact cannot be made of this model.
            FidelityNotMet: one misses its thresholds, or could not be judged.
            ParityNotProven: a float32 artifact does not run when it is timed.
        """
        made, notes = [], list(self.rows.notes)
        for name in self.draft.request.quantize:
            with self.progress.phase(f"quantize {name}") as phase:
                artifact, found = self._made(name, proven)
                phase.detail = f"{artifact.bytes:,} bytes"
            made.append(artifact)
            notes += found
        with self.progress.phase("judge") as phase:
            self._write_rows()
            judged = [(artifact, self._measured(artifact, self._budget(artifact))) for artifact in made]
            _require_fidelity(judged)
            phase.detail = f"{len(judged)} artifacts by {row_count(self.rows.judging)} rows"
        with self.progress.phase("measure"):
            timed = [(artifact, self._measured(artifact, None)) for artifact in proven]
            _require_run(timed)
        artifacts = tuple(artifact.model_copy(update={"latency": found.latency}) for artifact, found in timed)
        smaller = tuple(self._answered(artifact, found) for artifact, found in judged)
        notes += [note for artifact, found in judged for note in _remarks(artifact, found, timed)]
        if self.rows.source == "drawn" and made:
            notes.append(
                "quantization was judged by inputs that were drawn: their top-1 agreement is shown and not asked for; "
                "--data gives it real ones"
            )
        return Smaller((*artifacts, *smaller), tuple(notes))

    def _made(self, name: str, proven: tuple[Artifact, ...]) -> tuple[Artifact, list[str]]:
        """One artifact, and what to say of how it is made."""
        format_name, _, kind = name.partition("-")
        origin = next(artifact for artifact in proven if artifact.format == format_name)
        is_traced_so = origin.batch in ("dynamic", self.frozen.batch)
        frozen = self.frozen if is_traced_so else self.frozen.with_batch(int(origin.batch))
        made = quantize(Task(origin, _KINDS[kind], self.draft.staged, self.rows.calibration, frozen))
        artifact, notes = made.artifact, []
        if made.small_share < 1 - _WORTH_A_NOTE:
            notes.append(f"{name}: {made.small_share:.0%} of the values of its weights are smaller, the others are not")
        if made.float_ops:
            notes.append(f"{name}: {', '.join(made.float_ops)} stay in floating point, the other ops are in int8")
        if artifact.bytes >= origin.bytes:
            notes.append(f"{name}: {artifact.bytes:,} bytes, no smaller than the {origin.bytes:,} of {origin.name}")
        return artifact, notes

    def _budget(self, artifact: Artifact) -> FidelityBudget:
        """The thresholds: the user's, else those of the kind; of drawn inputs, no agreement but the user's."""
        request, default = self.draft.request, THRESHOLDS[artifact.quantization]
        agreement = 0.0 if self.rows.source == "drawn" else default.min_agreement
        return FidelityBudget(
            min_snr_db=default.min_snr_db if request.min_snr_db is None else request.min_snr_db,
            min_agreement=agreement if request.min_agreement is None else request.min_agreement,
        )

    def _write_rows(self) -> None:
        """The judging rows with Keras' answers, for the processes that judge."""
        inputs = self.rows.judging
        batch = self.loaded.signature.fixed_batch
        step = batch or _ANSWERED_AT_ONCE
        parts = [
            self.loaded.answer({name: array[start : start + step] for name, array in inputs.items()})
            for start in range(0, row_count(inputs), step)
        ]
        write_cases(self._rows_file, [Case("judging", inputs, _joined(parts))])

    @property
    def _rows_file(self) -> Path:
        return self.work / "judging.npz"

    def _own_answers(self, artifact: Artifact) -> Path:
        return self.draft.staged / f"golden.{artifact.name}.npz"

    def _measured(self, artifact: Artifact, budget: FidelityBudget | None) -> Measured:
        job = MeasureJob(
            directory=self.draft.staged,
            manifest=self.draft.manifest((artifact,)),
            rows=self._rows_file,
            budget=budget,
            source=self.rows.source,
            golden=self.draft.staged / GOLDEN,
            own_answers=self._own_answers(artifact),
            result=self.work / f"measured-{artifact.name}.json",
        )
        return measure(job, self.work / f"measure-{artifact.name}.json")

    def _answered(self, artifact: Artifact, found: Measured) -> Artifact:
        """The artifact with everything that the manifest says of a quantized one."""
        if found.fidelity is None:
            raise ValueError(f"'{artifact.name}' was not judged")
        rtol = max(_REPLAY_RTOL[artifact.quantization], _DRIFTS * found.drift)
        quantized = Quantized(
            golden=describe_file(self.draft.staged, self._own_answers(artifact)),
            budget=Budget(rtol=rtol, atol=rtol * found.largest),
            calibration_rows=self.rows.calibration_rows if artifact.quantization == "int8" else 0,
            fidelity=found.fidelity,
        )
        return artifact.model_copy(
            update={"verdict": found.fidelity.verdict, "quantized": quantized, "latency": found.latency}
        )


def _joined(parts: list[Tensors]) -> Tensors:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _require_fidelity(judged: list[tuple[Artifact, Measured]]) -> None:
    """Let nothing pass that misses its thresholds or did not run."""
    reports = tuple(found.fidelity for _, found in judged if found.fidelity is not None)
    failures = [report for report in reports if not report.is_faithful]
    if failures:
        said = "; ".join(f"{report.artifact}: {report.first_failure()}" for report in failures)
        has_numbers = any(report.outputs for report in failures)
        hint = "--min-snr-db and --min-agreement say what is enough, and " if has_numbers else ""
        raise FidelityNotMet(f"{said}; {hint}leaving an artifact out of --quantize publishes the others", reports)


def _require_run(timed: list[tuple[Artifact, Measured]]) -> None:
    """A proven artifact that does not run one row at a time is no artifact to publish."""
    for artifact, found in timed:
        if found.fidelity is not None:
            raise ParityNotProven(
                f"{artifact.name} passed the proof and yet fails when it is timed: {found.fidelity.first_failure()}"
            )


def _remarks(artifact: Artifact, found: Measured, timed: list[tuple[Artifact, Measured]]) -> list[str]:
    """What the numbers of one artifact should make its user think of."""
    notes = []
    if found.drift > _WORTH_A_NOTE:
        notes.append(
            f"{artifact.name}: its answers change by up to {found.drift:.0%} of the output's largest value from one "
            "kernel to another on this machine: the model amplifies rounding, and a self-test elsewhere can say little"
        )
    wide = next(other.latency for one, other in timed if one.format == artifact.format)
    if wide is not None and found.latency is not None and found.latency.p50_ms > _SLOWER * wide.p50_ms:
        notes.append(
            f"{artifact.name} is slower here than {artifact.format}: {found.latency.p50_ms:.3g} ms a run against "
            f"{wide.p50_ms:.3g} ms (p50)"
        )
    return notes
