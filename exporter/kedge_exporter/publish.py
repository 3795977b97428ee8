"""The last step: golden answers, `parity.json`, the manifest, and the bundle in its place, whole or not at all."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.errors import VersionTaken
from kedge_bundle.fidelity import FidelityReport
from kedge_bundle.manifest import Advice, Artifact, File, Manifest, Recipe, RuntimeOptions, Toolchain
from kedge_bundle.parity import Budget
from kedge_bundle.rounding import Reference
from kedge_bundle.signature import Signature
from kedge_bundle.stats import InputStats
from kedge_bundle.store import describe_file, write_bundle
from kedge_exporter.culprit.curve import LayerCurve
from kedge_exporter.errors import UsageError
from kedge_exporter.formats import ConvertOptions
from kedge_exporter.inspect import Contents
from kedge_exporter.proof_file import PROOF, Proof
from kedge_exporter.proven import Proven
from kedge_exporter.provenance import recipe, source, toolchain
from kedge_exporter.report.data import GraphNode, ReportData
from kedge_exporter.report.page import FILE_NAME as REPORT
from kedge_exporter.report.page import Report
from kedge_exporter.request import ExportRequest
from kedge_exporter.samples import Draw, golden_cases

GOLDEN = "golden.npz"


@dataclass(frozen=True)
class Draft:
    """Everything that a manifest says before anything is proven.

    Attributes:
        draws: how the inputs of the proof were drawn.
        graph: the calls of the model's layers, for the report.
        parameters: how many weights the model has.
        data_sha256: of the file given with --data, as it was when it was read.
    """

    request: ExportRequest
    contents: Contents
    signature: Signature
    input_stats: tuple[InputStats, ...]
    budget: Budget
    reference: Reference
    draws: tuple[Draw, ...]
    staged: Path
    graph: tuple[GraphNode, ...] = ()
    parameters: int | None = None
    advice: tuple[Advice, ...] = ()
    notes: tuple[str, ...] = ()
    data_sha256: str | None = None

    def manifest(self, artifacts: tuple[Artifact, ...], version: int = 1) -> Manifest:
        """The manifest with these artifacts; `golden.npz` and `parity.json` as they are now."""
        return Manifest(
            name=self.request.name,
            version=version,
            created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            signature=self.signature,
            input_stats=self.input_stats,
            budget=self.budget,
            tolerance=self.request.tolerance,
            reference=self.reference,
            artifacts=artifacts,
            golden=self._file(GOLDEN),
            proof=self._file(PROOF),
            source=source(self.contents),
            toolchain=self.toolchain,
            recipe=self.recipe,
            advice=self.advice,
            notes=self.notes,
        )

    @cached_property
    def toolchain(self) -> Toolchain:
        """What makes the bundle; found out once, every artifact's proof has a manifest of its own."""
        return toolchain(self.request)

    @cached_property
    def recipe(self) -> Recipe:
        """What was asked; it reads the modules that were imported."""
        return recipe(self.request, self.data_sha256)

    @property
    def options(self) -> ConvertOptions:
        """What the user asked of the conversion."""
        return ConvertOptions(opset=self.request.opset)

    def write_golden(self, cases: list[Case]) -> None:
        """Write the cases of the self-test, and an empty proof that the first manifests refer to."""
        write_cases(self.staged / GOLDEN, golden_cases(cases))
        self.write_proof(())

    def write_proof(
        self,
        proven: tuple[Proven, ...],
        layers: tuple[LayerCurve, ...] = (),
        fidelity: tuple[FidelityReport, ...] = (),
    ) -> Proof:
        """Write `parity.json`."""
        proof = Proof(
            reference=self.reference,
            tolerance=self.request.tolerance,
            budget=self.budget,
            seed=self.request.seed,
            options=RuntimeOptions(),
            inputs={draw.spec.name: draw.describe() for draw in self.draws},
            reports=tuple(report for one in proven for report in one.reports),
            sensitivity=tuple(one.sensitivity for one in proven),
            layers=layers,
            fidelity=fidelity,
        )
        (self.staged / PROOF).write_text(proof.model_dump_json(indent=2) + "\n", "utf-8")
        return proof

    def _file(self, name: str) -> File:
        return describe_file(self.staged, self.staged / name)


def publish(
    draft: Draft, artifacts: tuple[Artifact, ...], proven: tuple[Proven, ...], layers: tuple[LayerCurve, ...]
) -> Manifest:
    """Put the staged bundle in its place under the version that it gets, with its report.

    Raises:
        UsageError: the version that was asked for exists.
        OSError: the disk is full or cannot be written.
    """
    fidelity = tuple(one.quantized.fidelity for one in artifacts if one.quantized is not None)
    proof = draft.write_proof(proven, layers, fidelity)
    manifest = draft.manifest(artifacts)
    _remove_strays(draft.staged, manifest)
    report = Report(ReportData(manifest, proof, draft.graph, draft.parameters, layers))

    def of_version(version: int) -> Manifest:
        report.write(draft.staged, version)
        file = describe_file(draft.staged, draft.staged / REPORT)
        return draft.manifest(artifacts, version).model_copy(update={"report": file})

    try:
        bundle = write_bundle(draft.staged, draft.request.output, of_version, version=draft.request.version)
    except VersionTaken as error:
        raise UsageError(f"--version {draft.request.version}: {error}") from error
    return bundle.manifest


def _remove_strays(staged: Path, manifest: Manifest) -> None:
    """Remove what a first attempt at a format left behind: a bundle holds what its manifest lists."""
    listed = {staged / file.path for file in manifest.files}
    for path in sorted(staged.rglob("*"), reverse=True):  # the deepest first
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in listed:
            path.unlink()
