"""What made a bundle: versions of packages, the platform, the CPU."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kedge_bundle.manifest import Source, Toolchain
from kedge_exporter.inspect import Contents
from kedge_exporter.request import ExportRequest

_PACKAGES = (
    "kedge", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy", "protobuf", "h5py",
)  # fmt: skip
_TENSORFLOW_BUILDS = ("tensorflow", "tensorflow-cpu")


def toolchain(request: ExportRequest, cpuinfo: Path = Path("/proc/cpuinfo")) -> Toolchain:
    """What the manifest records of this machine and of what is installed on it."""
    return Toolchain(
        packages={name: found for name in _PACKAGES if (found := _version(name))},
        python=sys.version.split()[0],
        platform=platform.platform(),
        cpu_flags=cpu_flags(cpuinfo),
        seed=request.seed,
        command=request.command,
    )


def source(contents: Contents) -> Source:
    """What the manifest records of the `.keras` file."""
    return Source(
        file_name=contents.path.name,
        sha256=contents.sha256,
        content_sha256=contents.content_sha256,
        keras_version=contents.keras_version,
    )


def cpu_flags(cpuinfo: Path) -> tuple[str, ...]:
    """The first CPU's flags (`flags` on x86, `Features` on ARM), sorted; empty where the system has no such file."""
    if not cpuinfo.is_file():
        return ()
    for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return tuple(sorted(value.split()))
    return ()


def _version(name: str) -> str | None:
    for candidate in _TENSORFLOW_BUILDS if name == "tensorflow" else (name,):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return None
