"""Converts the traced model to one format after another, while those that are made are being proven."""

from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kedge_bundle.manifest import Artifact, FormatName
from kedge_bundle.memory import give_back
from kedge_exporter.errors import FormatImpossible, ModelRefused
from kedge_exporter.formats import convert
from kedge_exporter.progress import Progress
from kedge_exporter.proof_worker import Findings
from kedge_exporter.prove import Prover, could_not_run
from kedge_exporter.publish import Draft

if TYPE_CHECKING:
    from kedge_exporter.tracing import Frozen

_SMALL_BYTES = 2**24
"""Beside weights of fewer bytes, an export's memory is its two TensorFlows: this one converts nothing while the other
proves. Beside more, the converters' copies are what counts, and waiting for the proof would cost seconds."""


@dataclass(frozen=True)
class Workshop:
    """What every format of one export is made from and proven with.

    Attributes:
        pool: runs proofs; each is a process of its own.
        notes: what the user should know of how the formats were made; filled on the way.
    """

    frozen: "Frozen"
    draft: Draft
    prover: Prover
    pool: Executor
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def begin(self, format_name: FormatName) -> tuple[Artifact, "Future[Findings]"]:
        """Convert to one format and begin its proof: any number of rows where it can, one at a time where it cannot.

        Raises:
            FormatImpossible: the format cannot hold the model.
        """
        with self.progress.phase(f"convert {format_name}") as phase:
            try:
                artifact = self._convert(format_name, self.frozen)
            except FormatImpossible as error:
                if not error.may_hold_one_row:
                    raise
                artifact = self._convert(format_name, self._one_row(format_name, error))
            phase.detail = _describe(artifact)
            give_back()
        proof = self.pool.submit(self.prover.prove, self.draft.manifest((artifact,)))
        if format_name == "saved_model" and self.draft.contents.weight_bytes < _SMALL_BYTES:
            wait([proof])
        return artifact, proof

    def finish(self, artifact: Artifact, proof: "Future[Findings]") -> tuple[Artifact, Findings]:
        """Wait for the proof; an artifact that did not run with several rows gets one more try with one at a time."""
        with self.progress.phase(f"prove {artifact.format}") as phase:
            found = proof.result()
            if could_not_run(found.reports[0]) and self.frozen.batch is None and artifact.batch == "dynamic":
                why = FormatImpossible(artifact.format, found.first_failure)
                artifact = self._convert(artifact.format, self._one_row(artifact.format, why))
                found = self.prover.prove(self.draft.manifest((artifact,)))
            phase.detail = f"{len(found.reports[0].cases)} cases, {found.verdict}, {found.describe_error()}"
        return artifact, found

    def _convert(self, format_name: FormatName, frozen: "Frozen") -> Artifact:
        return convert(format_name, frozen, self.draft.staged, self.draft.options)

    def _one_row(self, format_name: FormatName, why: FormatImpossible) -> "Frozen":
        """The model traced for one row; `why` where its batch is fixed already, or it has no such trace."""
        if self.frozen.batch is not None:
            raise why
        try:
            frozen = self.frozen.with_batch(1)
        except ModelRefused as error:
            raise why from error
        how = "takes one row per run, and the server runs the rows of a request one after another"
        self.notes.append(f"{format_name} {how}: with any number of rows, {why.reason}")
        return frozen


def _describe(artifact: Artifact) -> str:
    rows = {"dynamic": "any number of rows", 1: "one row at a time"}.get(artifact.batch, f"{artifact.batch} rows")
    return f"{artifact.bytes:,} bytes, {rows}"
