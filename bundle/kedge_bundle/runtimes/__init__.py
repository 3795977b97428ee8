"""The runtimes that run artifacts. Each is imported when it is chosen, never before."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from kedge_bundle.errors import RuntimeMissing
from kedge_bundle.manifest import Artifact, FormatName, RuntimeOptions
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.store import Bundle

_RUNTIMES: dict[FormatName, tuple[str, str, str]] = {
    # format: module, class, what to install
    "onnx": ("kedge_bundle.runtimes.onnx", "OnnxRuntime", "kedge[onnx] or kedge[onnx-gpu]"),
    "tflite": ("kedge_bundle.runtimes.tflite", "TfliteRuntime", "kedge[tflite]"),
    "saved_model": ("kedge_bundle.runtimes.tensorflow", "TensorflowRuntime", "kedge[tensorflow]"),
}

_LEGACY_KERAS = "TF_USE_LEGACY_KERAS"
_IMPORTING = threading.Lock()


def open_runtime(bundle: Bundle, artifact: Artifact, options: RuntimeOptions | None = None) -> Runtime:
    """Load one artifact of a bundle with the runtime of its format.

    Args:
        bundle: an opened bundle.
        artifact: one of its artifacts.
        options: how to run it; those that were proven when None.

    Raises:
        RuntimeMissing: the runtime's package is not installed.
        ArtifactUnloadable: the runtime refuses the file.
        DeviceUnavailable: the device asked for is not the one in use after loading.
    """
    _, name, extra = _RUNTIMES[artifact.format]
    try:
        runtime_class: type[Runtime] = getattr(_import(artifact.format), name)
    except ImportError as error:
        raise RuntimeMissing(
            f"no runtime for {artifact.format} is installed here ({error}); install {extra}"
        ) from error
    return runtime_class(
        bundle.directory / artifact.path, artifact, bundle.manifest.signature, options or artifact.options
    )


def is_installed(format_name: FormatName) -> bool:
    """Whether the runtime of this format can be imported here."""
    try:
        _import(format_name)
    except ImportError:
        return False
    return True


def _import(format_name: FormatName) -> ModuleType:
    """Import a runtime's module.

    onnxruntime 1.31 reports its use to Microsoft unless it is told otherwise before its import (its Privacy.md). A
    customer's robot reports to nobody; who wants it sets the variable.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with _IMPORTING, _without_keras():  # a server loads in several threads, and the environment is everybody's
        return import_module(_RUNTIMES[format_name][0])


@contextmanager
def _without_keras() -> Iterator[None]:
    """Keep TensorFlow from importing Keras 3 with itself: half of its start and 57 MB, for nothing that is served.

    It asks for the older Keras instead, which is not installed beside it. Afterwards the variable is as it was, since
    `tf.keras` looks at it, too. https://keras.io/getting_started/#tensorflow--keras-2-backwards-compatibility
    """
    before = os.environ.get(_LEGACY_KERAS)
    os.environ[_LEGACY_KERAS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_LEGACY_KERAS]
        else:
            os.environ[_LEGACY_KERAS] = before
