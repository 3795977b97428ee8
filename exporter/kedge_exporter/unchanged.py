"""Recognises an export that was made already: same file, same options, same toolchain, and the bundle still whole.

Runs in the command's own process: nothing of TensorFlow is imported to find out that there is nothing to do.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kedge_bundle.errors import BundleError
from kedge_bundle.manifest import Manifest, read_manifest
from kedge_bundle.store import Bundle, open_bundle, sha256_of, versions
from kedge_exporter.errors import ExportError
from kedge_exporter.inspect import content_sha256_of
from kedge_exporter.proof_file import PROOF, Proof
from kedge_exporter.provenance import are_installed, is_this_toolchain, recipe
from kedge_exporter.request import Exported, ExportRequest, FormatResult


@dataclass(frozen=True)
class Found:
    """What a look at the published versions gave.

    Attributes:
        exported: the version that is this very export; None when it has to be made.
        note: why a version that looks like it is not it after all; empty where there is nothing to say.
    """

    exported: Exported | None = None
    note: str = ""


def find(request: ExportRequest) -> Found:
    """Look whether the newest version, or the one that was asked for, is what this export would make.

    Only that one: publishing an older one again would make it the newest, and so it does.
    """
    parent = request.output / request.name
    try:
        published = dict(versions(parent))
        number = request.version or max(published, default=0)
        if number not in published or not _is_same(request, read_manifest(published[number])):
            return Found()
        if request.checks_reproducible and not _was_checked(read_manifest(published[number])):
            return Found()
        bundle = open_bundle(published[number])
        return Found(_exported(bundle, request.output / request.name / str(number)))
    except BundleError as error:
        return Found(note=f"the version that could be this export is not whole: {error}; exported anew")
    except (OSError, ValidationError, ExportError):
        # What cannot be read here is the export's to explain, with its exit codes.
        return Found()


def _is_same(request: ExportRequest, manifest: Manifest) -> bool:
    """The cheap questions first; the model's file is read when all else is equal."""
    then = manifest.recipe
    given = [path for path in (request.model, request.data, request.custom) if path is not None]
    if not all(path.is_file() for path in given):  # a pipe can be read once, by the export
        return False
    if then is None or not is_this_toolchain(manifest.toolchain):
        return False
    data_sha256 = None if request.data is None else sha256_of(request.data)
    asked = recipe(request.model_copy(update={"custom": None}), data_sha256)
    return (
        (asked.options, asked.data_sha256) == (then.options, then.data_sha256)
        and _has_same_custom(request.custom, then.custom)
        and are_installed(then.custom_packages)
        and _is_same_model(request, manifest)
    )


def _has_same_custom(module: Path | None, then: dict[str, str]) -> bool:
    """Whether the user's module, and all the files that it imported then, still hold the same."""
    if module is None:
        return not then
    directory = module.resolve().parent
    return module.resolve().name == next(iter(then), None) and all(
        (directory / path).is_file() and sha256_of(directory / path) == sha256 for path, sha256 in then.items()
    )


def _is_same_model(request: ExportRequest, manifest: Manifest) -> bool:
    """Whether it is the same file, or the same content in another zip."""
    if sha256_of(request.model) == manifest.source.sha256:
        return True
    return content_sha256_of(request.model) == manifest.source.content_sha256


def _was_checked(manifest: Manifest) -> bool:
    converted = [artifact for artifact in manifest.artifacts if artifact.quantization == "none"]
    return all(artifact.reproducible is not None for artifact in converted)


def _exported(bundle: Bundle, place: Path) -> Exported:
    """What the export of this bundle had to say, out of its manifest and its proof."""
    manifest = bundle.manifest
    proof = Proof.model_validate_json((bundle.directory / PROOF).read_bytes())
    return Exported(
        name=manifest.name,
        version=manifest.version,
        bundle=place,
        formats=FormatResult.listing(manifest.artifacts, proof.reports),
        signature=manifest.signature,
        input_stats=manifest.input_stats,
        unchanged=True,
        warnings=manifest.advice,
        notes=manifest.notes,
    )
