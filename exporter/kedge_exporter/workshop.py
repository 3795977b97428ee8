"""Converts the traced model to one format after another, while those that are made are being proven."""

from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kedge_bundle.manifest import Artifact, FormatName
from kedge_bundle.memory import give_back
from kedge_exporter.errors import FormatImpossible, ModelRefused
from kedge_exporter.formats import convert, make_ready
from kedge_exporter.probes import Probes
from kedge_exporter.progress import Progress
from kedge_exporter.prove import Prover, could_not_run
from kedge_exporter.proven import Proven
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
        probes: makes altered copies of what is proven.
        notes: what the user should know of how the formats were made; filled on the way.
    """

    frozen: "Frozen"
    draft: Draft
    prover: Prover
    pool: Executor
    progress: Progress
    probes: Probes
    notes: list[str] = field(default_factory=list)

    def begin(self, format_name: FormatName) -> tuple[Artifact, "Future[Proven]"]:
        """Convert to one format and begin its proof: any number of rows where it can, one at a time where it cannot.

        Raises:
            FormatImpossible: the format cannot hold the model.
        """
        rehearsed = self.probes.rehearsed
        if rehearsed is not None and rehearsed.artifact.format == format_name:
            artifact, proof = rehearsed.artifact, self._begin_proof(rehearsed.artifact)
        else:
            artifact, proof = self._converted(format_name)
        if format_name == "saved_model" and self.draft.contents.weight_bytes < _SMALL_BYTES:
            make_ready(self.draft.request.formats)
            wait([proof])
        return artifact, proof

    def _converted(self, format_name: FormatName) -> tuple[Artifact, "Future[Proven]"]:
        with self.progress.phase(f"convert {format_name}") as phase:
            try:
                artifact = self._convert(format_name, self.frozen)
            except FormatImpossible as error:
                if not error.may_hold_one_row:
                    raise
                artifact = self._convert(format_name, self._one_row(format_name, error))
            phase.detail = describe(artifact)
            give_back()
            return artifact, self._begin_proof(artifact)

    def finish(self, artifact: Artifact, proof: "Future[Proven]") -> Proven:
        """Wait for the proof; an artifact that did not run with several rows gets one more try with one at a time."""
        with self.progress.phase(f"prove {artifact.format}") as phase:
            proven = proof.result()
            if could_not_run(proven.reports[0]) and self.frozen.batch is None and artifact.batch == "dynamic":
                why = FormatImpossible(artifact.format, proven.first_failure)
                artifact = self._convert(artifact.format, self._one_row(artifact.format, why))
                proven = self._begin_proof(artifact).result()
            phase.detail = proven.describe()
        return proven

    def _begin_proof(self, artifact: Artifact) -> "Future[Proven]":
        """Write the altered copies, and let a process prove the artifact and ask the copies."""
        probes, weight = self.probes.of(artifact)

        def prove() -> Proven:
            found = self.prover.prove(self.draft.manifest((artifact,)), probes)
            return Proven.of(artifact, weight, found)

        return self.pool.submit(prove)

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


def describe(artifact: Artifact) -> str:
    """For the progress: bytes and rows."""
    rows = {"dynamic": "any number of rows", 1: "one row at a time"}.get(artifact.batch, f"{artifact.batch} rows")
    return f"{artifact.bytes:,} bytes, {rows}"
