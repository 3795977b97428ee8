"""The recipe, top to bottom: inspect, load, sample, trace, answer, convert, prove, quantize, compare, publish.

Keras and TensorFlow come in only after the file was read as data; that is why they are imported inside.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kedge_bundle.cases import Case, read_npz
from kedge_bundle.errors import SamplesInvalid
from kedge_bundle.memory import give_back, importing
from kedge_bundle.rounding import Reference
from kedge_bundle.signature import Signature, Tensors
from kedge_bundle.stats import InputStats
from kedge_bundle.store import sha256_of
from kedge_exporter import rehearsal, reproducible
from kedge_exporter.advice import advise
from kedge_exporter.advice_graph import Subject
from kedge_exporter.errors import UsageError
from kedge_exporter.exact import Exact, with_reference
from kedge_exporter.formats import check_size
from kedge_exporter.hidden import hidden
from kedge_exporter.input_statistics import input_statistics
from kedge_exporter.inspect import inspect
from kedge_exporter.progress import Progress
from kedge_exporter.proof_budget import budget_of
from kedge_exporter.proof_processes import FreshProcesses, ProofProcesses
from kedge_exporter.proving import Proving
from kedge_exporter.publish import Draft, publish
from kedge_exporter.quantize import Quantizer
from kedge_exporter.quantize_rows import rows_for
from kedge_exporter.reference import Reference as Answered
from kedge_exporter.reference import check_answers, drawn_cases, reference_answers
from kedge_exporter.request import Exported, ExportRequest, FormatResult
from kedge_exporter.samples import draws
from kedge_exporter.user_data import fitted_data
from kedge_exporter.workshop import describe

if TYPE_CHECKING:
    from kedge_exporter.keras_model import LoadedModel
    from kedge_exporter.tracing import Frozen


def export(
    request: ExportRequest, staged: Path, work: Path, progress: Progress, processes: ProofProcesses | None = None
) -> Exported:
    """Make a bundle in `staged`, prove it, and publish it as the next version of its model.

    Args:
        request: what is asked for.
        staged: a directory from `kedge_bundle.store.staging`.
        work: a scratch directory.
        progress: told of every phase.
        processes: where proofs run; one fresh process for each when None.

    Raises:
        ExportError: nothing is published; the message says why.
        OSError: the disk is full or cannot be written; nothing is published.
    """
    if processes is None:
        with FreshProcesses() as fresh:
            return export(request, staged, work, progress, fresh)
    with progress.phase("inspect") as phase:
        contents = inspect(request.model, copy_into=work, has_custom=request.custom is not None)
        check_size(contents.weight_bytes)
        data, data_sha256 = _samples(request.data)
        phase.detail = f"{contents.class_name}, saved by Keras {contents.keras_version}, {contents.bytes:,} bytes"
    with progress.phase("load") as phase:
        with hidden("matplotlib", "sklearn"), importing():
            # See the module's docstring.
            from kedge_exporter import input_layers, keras_model, tracing  # noqa: PLC0415
            from kedge_exporter.report import keras_graph  # noqa: PLC0415

        processes.expect(request.formats)  # two imports of TensorFlow at once take turns at the memory

        loaded = keras_model.load(contents, request.custom, data)
        advice = advise(Subject(contents, loaded), is_strict=request.is_strict)
        phase.detail = f"{loaded.parameters:,} parameters, {_listing(loaded.signature)}"
    with progress.phase("sample") as phase:
        data, notes = _fitted(data, loaded.signature, request.data)
        readings = input_layers.readings(loaded)
        stats, stats_notes = input_statistics(loaded.signature, readings, data)
        inputs = draws(loaded.signature, readings, stats)
        cases = drawn_cases(loaded, inputs, data, request.seed)
        rows = rows_for(request, loaded.signature, data, inputs, cases)
        phase.detail = _describe_stats(stats)
    with progress.phase("trace") as phase:
        frozen = tracing.trace(loaded)
        give_back()
        phase.detail = f"{len(frozen.function.graph.get_operations())} nodes"
    budget, budget_notes, why_not = budget_of(loaded.precision, frozen.precisions, request.formats)
    draft = Draft(
        request=request,
        contents=contents,
        signature=frozen.signature,
        input_stats=stats,
        budget=budget,
        reference=Reference(precision="float32", reason=why_not),
        draws=tuple(inputs),
        graph=keras_graph.graph_of(loaded),
        parameters=loaded.parameters,
        staged=staged,
        advice=advice,
        notes=(*loaded.notes, *notes, *stats_notes, *budget_notes),
        data_sha256=data_sha256,
    )
    draft.write_golden(cases)
    rehearsed = _rehearsed(frozen, draft, cases, work, processes, progress)
    reference = _answered(loaded, frozen, cases, progress)
    exact = _exact(loaded, frozen, reference.cases, why_not, progress)
    draft = replace(draft, reference=exact.reference, notes=(*draft.notes, *reference.notes, *exact.notes))
    draft.write_golden(exact.cases)
    made = Proving(loaded, exact, frozen, draft, work, rehearsed).run(processes, progress)
    draft = replace(draft, notes=(*draft.notes, *made.notes))
    if made.left_out:
        draft.write_golden([case for case in exact.cases if case.name not in made.left_out])
    artifacts = tuple(one.artifact for one in made.proven)
    if rows is not None:
        smaller = Quantizer(loaded, frozen, draft, rows, work, progress).run(artifacts)
        draft, artifacts = replace(draft, notes=(*draft.notes, *smaller.notes)), smaller.artifacts
    draft, artifacts = reproducible.check(draft, artifacts, work, progress)
    with progress.phase("publish") as phase:
        manifest = publish(draft, artifacts, made.proven, made.layers)
        phase.detail = f"{manifest.name}, version {manifest.version}"
    return Exported(
        name=manifest.name,
        version=manifest.version,
        bundle=request.output / manifest.name / str(manifest.version),
        formats=FormatResult.listing(artifacts, tuple(report for one in made.proven for report in one.reports)),
        signature=manifest.signature,
        input_stats=stats,
        warnings=manifest.advice,
        notes=manifest.notes,
        seconds=progress.seconds,
    )


def _rehearsed(  # noqa: PLR0913, PLR0917 (what `rehearse` takes, and the progress)
    frozen: "Frozen", draft: Draft, cases: list[Case], work: Path, processes: ProofProcesses, progress: Progress
) -> rehearsal.Rehearsed | None:
    if rehearsal.FORMAT not in draft.request.formats:
        return None
    with progress.phase(f"convert {rehearsal.FORMAT}") as phase:
        rehearsed = rehearsal.rehearse(frozen, draft, cases, work, processes)
        give_back()
        phase.detail = "" if rehearsed is None else describe(rehearsed.artifact)
    return rehearsed


def _answered(loaded: "LoadedModel", frozen: "Frozen", cases: list[Case], progress: Progress) -> Answered:
    with progress.phase("answer") as phase:
        answered = reference_answers(loaded, cases)
        check_answers(answered.cases, frozen.signature)
        phase.detail = f"{len(answered.cases)} cases answered by Keras"
    return answered


def _exact(loaded: "LoadedModel", frozen: "Frozen", cases: list[Case], why_not: str, progress: Progress) -> Exact:
    with progress.phase("reference") as phase:
        exact = with_reference(loaded, cases, why_not=why_not, may_have_heads=frozen.may_have_heads)
        give_back()
        phase.detail = f"{exact.reference.precision}, Keras' own error is {_describe_own(exact.reference)}"
    return exact


def _samples(path: Path | None) -> tuple[Tensors | None, str | None]:
    """The user's samples and the hash of their file: later on, another one may lie in its place."""
    try:
        return (None, None) if path is None else (read_npz(path), sha256_of(path))
    except SamplesInvalid as error:
        raise UsageError(f"--data {error}") from error


def _fitted(data: Tensors | None, signature: Signature, path: Path | None) -> tuple[Tensors | None, tuple[str, ...]]:
    try:
        return (None, ()) if data is None else fitted_data(data, signature, f"--data {path}")
    except SamplesInvalid as error:
        raise UsageError(str(error)) from error


def _listing(signature: Signature) -> str:
    names = [", ".join(map(repr, side)) for side in (signature.input_names, signature.output_names)]
    return f"{names[0]} -> {names[1]}"


def _describe_own(reference: Reference) -> str:
    errors = [error for by_kind in reference.own.values() for error in by_kind.values()]
    return f"{max(errors):.2g} of an output's size" if errors else "not known"


def _describe_stats(stats: tuple[InputStats, ...]) -> str:
    if not stats:
        return "nothing is known of the inputs' statistics"
    return "statistics of " + ", ".join(
        f"'{entry.input}' from {entry.source}"
        + (f" {'and ' if entry.source == 'data' else ''}'{entry.layer}'" if entry.layer else "")
        for entry in stats
    )
