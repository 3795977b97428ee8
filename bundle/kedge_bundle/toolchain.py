"""What made a bundle against what is installed here, and how to build its environment anew. Imports no runtime."""

import re
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from kedge_bundle.manifest import FormatName, Manifest, Toolchain

_RUNTIMES: dict[FormatName, tuple[str, ...]] = {
    # The distributions that a format's runtime may be installed from.
    "onnx": ("onnxruntime", "onnxruntime-gpu"),
    "tflite": ("ai-edge-litert",),
    "saved_model": ("tensorflow", "tensorflow-cpu"),
}
_GPU_LIBRARIES = ("nvidia-", "tensorrt")
_PINNED_FOR_EXPORT = re.compile(r"""^(?P<name>[\w.-]+)==(?P<version>[^;\s]+)\s*;\s*extra\s*==\s*['"]export['"]""")


@dataclass(frozen=True)
class OtherVersion:
    """A library whose version differs between the bundle and this machine.

    Attributes:
        package: the distribution.
        bundle: its version where the bundle was made.
        here: its version here; for Keras, the one that this version of Kedge exports with.
    """

    package: str
    bundle: str
    here: str

    def __str__(self) -> str:
        here = "this version of Kedge exports with" if self.package == "keras" else "here is"
        return f"made with {self.package} {self.bundle}, {here} {self.here}"


def other_versions(manifest: Manifest, format_name: FormatName) -> tuple[OtherVersion, ...]:
    """The runtime of this format, and Keras, where they are not of the version that made the bundle.

    No reason to refuse: the golden answers tell whether the bundle still answers right.
    """
    made_with = manifest.toolchain.packages
    pairs = [("keras", made_with.get("keras"), keras_of_this_kedge()), _runtime(made_with, format_name)]
    return tuple(
        OtherVersion(name, then, now)
        for name, then, now in pairs
        if then is not None and now is not None and _public(then) != _public(now)
    )


def runtime_packages(format_name: FormatName, device: Literal["cpu", "gpu"]) -> dict[str, str]:
    """The distributions that run this format here, with their versions; on a GPU also NVIDIA's libraries."""
    wanted = _RUNTIMES[format_name]
    installed = {str(found.name).lower().replace("_", "-"): found.version for found in metadata.distributions()}
    return {
        name: installed[name]
        for name in sorted(installed)
        if name in wanted or (device == "gpu" and name.startswith(_GPU_LIBRARIES))
    }


def runtime_version(format_name: FormatName) -> str:
    """The distribution that runs this format here, with its version: `onnxruntime 1.31.1`.

    A cheaper answer than `runtime_packages`, which looks at everything that is installed.
    """
    name, _, version = _runtime({}, format_name)
    return f"{name} {version}"


def requirements(toolchain: Toolchain) -> list[str]:
    """The lines of a requirements file that installs what made the bundle."""
    return [f"{name}=={version}" for name, version in toolchain.packages.items()]


def keras_of_this_kedge() -> str | None:
    """The version of Keras in Kedge's own extra `export`; Keras itself is on no edge box."""
    try:
        pinned = metadata.requires("kedge") or ()
    except metadata.PackageNotFoundError:  # run from a bare checkout
        return None
    found = (_PINNED_FOR_EXPORT.match(line) for line in pinned)
    return next((match["version"] for match in found if match and match["name"] == "keras"), None)


def _runtime(made_with: dict[str, str], format_name: FormatName) -> tuple[str, str | None, str | None]:
    names = _RUNTIMES[format_name]
    then = next((made_with[name] for name in names if name in made_with), None)
    for name in names:
        try:
            return name, then, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return names[0], then, None


def _public(version: str) -> str:
    """A version without what a builder added: `2.21.0+cpu` is 2.21.0."""
    return version.partition("+")[0]
