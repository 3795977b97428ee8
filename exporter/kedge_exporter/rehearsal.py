"""A process of the proof runs an artifact before there is anything to judge its answers by.

Keras takes seconds to answer, in float64 again, and on a second core the first format can answer meanwhile.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.manifest import Artifact, FormatName
from kedge_exporter.copies import ChangedCopy, NoWeight, changed_weight
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import convert
from kedge_exporter.proof_job import Probe, ProofJob
from kedge_exporter.proof_processes import ProofProcesses
from kedge_exporter.publish import Draft
from kedge_exporter.samples import regrouped
from kedge_exporter.sensitivity import CHANGED

if TYPE_CHECKING:
    from kedge_exporter.tracing import Frozen

FORMAT: FormatName = "saved_model"
"""Its runtime takes longest, and its process is there already."""


_CHANGED_ASKED = ("typical-7", "data-32")
_FEW = 3


@dataclass(frozen=True)
class Rehearsed:
    """An artifact that is being run.

    Attributes:
        artifact: as it was converted.
        changed: its copy with another weight, which is run as well; None where it has no weight.
        directory: where that copy is.
    """

    artifact: Artifact
    changed: ChangedCopy | None
    directory: Path


def rehearse(
    frozen: "Frozen", draft: Draft, cases: list[Case], work: Path, processes: ProofProcesses
) -> Rehearsed | None:
    """Convert to the first format, and let its process run every case; None where it does not convert this way.

    Args:
        frozen: the traced graph.
        draft: of the bundle; what it says of the reference does not count yet.
        cases: without answers.
        work: a scratch directory.
        processes: where proofs run.
    """
    try:
        artifact = convert(FORMAT, frozen, draft.staged, draft.options)
    except FormatImpossible:  # said when it is converted for good, perhaps for one row at a time
        return None
    path = work / "rehearsal.npz"
    # Rows of other order and company are asked where Keras does not mix rows; here nobody knows that yet.
    asked = [Case(case.name, case.inputs) for case in cases]
    write_cases(path, [*asked, *regrouped(asked)], is_compressed=False)
    directory = work / "rehearsal"
    shutil.rmtree(directory, ignore_errors=True)
    changed: ChangedCopy | None = None
    probes: tuple[Probe, ...] = ()
    changed_path = work / "rehearsal-changed.npz"
    write_cases(changed_path, of_changed(asked), is_compressed=False)
    try:
        changed = changed_weight(draft.staged, artifact, directory)
    except NoWeight:
        pass  # said in the artifact's `Sensitivity`
    else:
        manifest = draft.manifest((changed.artifact,))
        probes = (Probe(name=CHANGED, directory=directory, manifest=manifest, cases=changed_path),)
    job = ProofJob(directory=draft.staged, manifest=draft.manifest((artifact,)), cases=path, probes=probes)
    job_file = work / "rehearsal.json"
    job_file.write_text(job.model_dump_json(), "utf-8")
    processes.rehearse(FORMAT, job_file)
    return Rehearsed(artifact, changed, directory)


def of_changed(cases: list[Case]) -> list[Case]:
    """The cases that copies with a changed weight, or without a head, are asked."""
    return [case for case in cases if case.name in _CHANGED_ASKED] or cases[:_FEW]
