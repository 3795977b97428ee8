"""What made a bundle: what was asked, versions of packages, the platform, the CPU."""

import platform
import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from kedge_bundle.manifest import Recipe, Source, Toolchain
from kedge_bundle.store import sha256_of
from kedge_exporter.inspect import Contents
from kedge_exporter.request import ExportRequest

_OWN, _EXTRAS = "kedge", frozenset({"export"})
_TENSORFLOW_BUILDS = ("tensorflow", "tensorflow-cpu")
"""Any of them is what `tensorflow` is imported from."""

_DECIDES_NOTHING = {
    "model", "name", "output", "version", "data", "custom", "is_strict", "is_forced", "checks_reproducible", "command",
}  # fmt: skip
"""Fields of a request that say where things are and what to do about the outcome; files count by their content.
Every other field is an option that matters, those of later versions too."""


def toolchain(request: ExportRequest, cpuinfo: Path = Path("/proc/cpuinfo")) -> Toolchain:
    """What the manifest records of this machine and of what is installed on it."""
    return Toolchain(
        packages=installed_packages(),
        python=platform.python_version(),
        platform=platform.platform(),
        machine=platform.machine(),
        cpu_flags=cpu_flags(cpuinfo),
        seed=request.seed,
        command=request.command,
    )


def is_this_toolchain(then: Toolchain) -> bool:
    """Whether a bundle was made by what is installed here, on a machine of this kind."""
    now = (installed_packages(), platform.python_version(), platform.machine())
    return (then.packages, then.python, then.machine) == now


def installed_packages() -> dict[str, str]:
    """Every installed distribution that takes part in an export, by its normal name, with its version.

    That is Kedge with its extra `export`, what that requires, and so on: enough to build the environment anew. What
    else the user has installed stays out.
    """
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(_OWN, _EXTRAS)]
    while waiting:
        wanted = waiting.pop()
        distribution = None if wanted in seen else _distribution(wanted[0])
        seen.add(wanted)
        if distribution is None:  # seen, or for another platform, or an extra that is not installed
            continue
        found[_normal(distribution.metadata["Name"])] = distribution.version
        waiting += _required(distribution.requires or (), wanted[1])
    return dict(sorted(found.items()))


def recipe(request: ExportRequest) -> Recipe:
    """What was asked, so that it can be recognised; asked in the export's process, it knows the user's modules."""
    return Recipe(
        options=request.model_dump(mode="json", exclude=_DECIDES_NOTHING),
        data_sha256=None if request.data is None else sha256_of(request.data),
        custom={} if request.custom is None else _custom_files(request.custom),
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


def _custom_files(module: Path) -> dict[str, str]:
    """The user's module, first, and what it imported from beside itself, by path; not installed packages."""
    main = module.resolve()
    directory = main.parent
    beside: set[Path] = set()
    for loaded in list(sys.modules.values()):
        origin = getattr(loaded, "__file__", None)
        path = Path(origin).resolve() if origin else None
        if path is not None and path.is_relative_to(directory) and path.suffix == ".py" and not _is_installed(path):
            beside.add(path)
    files = [main, *sorted(beside - {main})]
    return {path.relative_to(directory).as_posix(): sha256_of(path) for path in files}


def _is_installed(path: Path) -> bool:
    return "site-packages" in path.parts or path.is_relative_to(Path(sys.prefix).resolve())


def _required(requirements: Iterable[str], extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """What of these requirements counts on this platform, with the extras that are wanted of each."""
    # Keras brings it; `export-model --help` must answer where neither is installed.
    from packaging.requirements import Requirement  # noqa: PLC0415

    parsed = [Requirement(text) for text in requirements]
    return [
        (_normal(one.name), frozenset(one.extras))
        for one in parsed
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""})
    ]


def _normal(name: str) -> str:
    """A distribution's name as indexes spell it: https://packaging.python.org/specifications/name-normalization."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _distribution(name: str) -> metadata.Distribution | None:
    for candidate in _TENSORFLOW_BUILDS if name == "tensorflow" else (name,):
        try:
            return metadata.distribution(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None
