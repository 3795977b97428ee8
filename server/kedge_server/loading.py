"""From a place to a model that is fit to serve: open, choose, load; self-test, tune and warm in `arranging.py`.

Runs in threads, off the event loop; nothing here is seen by callers until it has succeeded.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kedge_bundle.errors import BundleError, BundleTampered, DeviceUnavailable, RunnerError
from kedge_bundle.manifest import Artifact, ArtifactName, FormatName
from kedge_bundle.parity import ParityReport
from kedge_bundle.runtimes import is_installed
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.store import Bundle, open_bundle
from kedge_server.arranging import arrange
from kedge_server.instances import SelfTestFailed
from kedge_server.session import Options, open_session
from kedge_server.tuning import Arrangement

FORMAT_PREFERENCE: tuple[FormatName, ...] = ("onnx", "tflite", "saved_model")
"""What `auto` tries, best first: fastest and smallest on the edge."""


class LoadFailed(Exception):
    """A bundle that cannot be served; the message says why."""


class DeviceNotInUse(LoadFailed):
    """The device that was asked for is not the one in use: no bundle of this server would do better."""


@dataclass(frozen=True)
class Place:
    """Where a version of a model was found, before anything was opened."""

    name: str
    version: int
    directory: Path


@dataclass(frozen=True)
class Prepared:
    """A bundle with its runtimes, one per instance, self-tested and warmed.

    Attributes:
        arrangement: how they serve.
        seconds: what all of this took.
        proof, unproven, no_gpu_because: as in `Session`.
    """

    bundle: Bundle
    artifact: Artifact
    device: str
    runtimes: tuple[Runtime, ...]
    report: ParityReport
    arrangement: Arrangement
    seconds: float
    proof: str
    unproven: str = ""
    no_gpu_because: str = ""


def prepare(place: Place, options: Options) -> Prepared:
    """Open a bundle, load its runtimes, replay its golden answers in each, and warm them.

    Raises:
        DeviceNotInUse: the GPU was asked for and is not in use.
        LoadFailed: the bundle is damaged, in the wrong place, unloadable, not proven with these options, or does not
            answer as it was proven to.
    """
    if options.tuner is None:
        return _prepared(place, options)
    with options.tuner.turns.loading():
        return _prepared(place, options)


def _prepared(place: Place, options: Options) -> Prepared:
    started = time.perf_counter()
    try:
        bundle = open_bundle(place.directory)
        _check_place(bundle, place)
        artifact = _choose(bundle, options.format)
        session = open_session(bundle, artifact, options)
        arranged = arrange(bundle, session, options)
    except DeviceUnavailable as error:
        raise DeviceNotInUse(str(error)) from error
    except (BundleError, RunnerError, SelfTestFailed) as error:
        raise LoadFailed(str(error)) from error
    seconds = time.perf_counter() - started
    return Prepared(
        bundle,
        artifact,
        session.runtime.device,
        arranged.runtimes,
        arranged.report,
        arranged.arrangement,
        seconds,
        proof=arranged.proof,
        unproven=arranged.unproven,
        no_gpu_because=session.no_gpu_because,
    )


def _check_place(bundle: Bundle, place: Place) -> None:
    manifest = bundle.manifest
    if (manifest.name, manifest.version) != (place.name, place.version):
        raise BundleTampered(
            f"{place.directory}: the manifest says '{manifest.name}' version {manifest.version}; a bundle is served "
            f"under its own name: move it to {manifest.name}/{manifest.version}"
        )


def _choose(bundle: Bundle, wanted: Literal["auto", ArtifactName]) -> Artifact:
    found = {artifact.name: artifact for artifact in bundle.manifest.artifacts}
    there = ", ".join(found)
    if wanted != "auto":
        artifact = bundle.manifest.artifact(wanted)
        if artifact is None:
            raise LoadFailed(f"{bundle.directory}: no {wanted} in this bundle; it has {there}")
        return artifact
    for name in FORMAT_PREFERENCE:
        if name in found and is_installed(name):
            return found[name]
    raise LoadFailed(
        f"{bundle.directory}: it has {there}, and none of their runtimes is installed here; "
        "pip install kedge[onnx], kedge[tflite] or kedge[tensorflow]"
    )
