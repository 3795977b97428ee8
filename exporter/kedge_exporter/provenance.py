"""What made a bundle: what was asked, versions of packages, the platform, the CPU."""

import os
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from kedge_bundle.cpu import cpu_flags
from kedge_bundle.manifest import Recipe, Source, Toolchain
from kedge_bundle.store import sha256_of
from kedge_exporter.inspect import Contents
from kedge_exporter.request import ExportRequest

_OWN, _EXTRAS = "kedge", frozenset({"export"})
_OWN_MODULES = frozenset({"kedge_bundle", "kedge_exporter", "__main__", "__mp_main__"})
"""The last two are what is run: the export's process itself."""
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


@cache
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


def are_installed(packages: dict[str, str]) -> bool:
    """Whether these distributions are here in these very versions."""
    here = {name: _distribution(name) for name in packages}
    return all(found is not None and found.version == packages[name] for name, found in here.items())


def recipe(request: ExportRequest, data_sha256: str | None) -> Recipe:
    """What was asked, so that it can be recognised; asked in the export's process, it knows the user's modules.

    Args:
        request: the flags.
        data_sha256: of the file given with --data, as it was when it was read.
    """
    return Recipe(
        options=request.model_dump(mode="json", exclude=_DECIDES_NOTHING),
        data_sha256=data_sha256,
        custom={} if request.custom is None else _custom_files(request.custom),
        custom_packages={} if request.custom is None else _custom_packages(),
    )


def source(contents: Contents) -> Source:
    """What the manifest records of the `.keras` file."""
    return Source(
        file_name=contents.path.name,
        sha256=contents.sha256,
        content_sha256=contents.content_sha256,
        keras_version=contents.keras_version,
    )


def _custom_files(module: Path) -> dict[str, str]:
    """The user's module, first, and the files that it imported, by their path from it; not installed packages."""
    main = module.resolve()
    imported = {path for path in _imported().values() if not _is_installed(path)}
    files = [main, *sorted(imported - {main})]
    return {Path(os.path.relpath(path, main.parent)).as_posix(): sha256_of(path) for path in files}


def _custom_packages() -> dict[str, str]:
    """The installed distributions of what is imported, by name, less those that take part in every export."""
    known = installed_packages()
    homes = metadata.packages_distributions()
    tops = {name.partition(".")[0] for name, path in _imported().items() if _is_installed(path)}
    found = {_normal(home) for top in tops for home in homes.get(top, ())} - known.keys()
    return {name: metadata.version(name) for name in sorted(found)}


def _imported() -> dict[str, Path]:
    """The files of the modules that are imported, by module; not those of Python and of Kedge itself."""
    found: dict[str, Path] = {}
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        path = Path(origin).resolve() if isinstance(origin, str) else None
        is_of_kedge = name.partition(".")[0] in _OWN_MODULES
        if path is not None and path.is_file() and not is_of_kedge and not _is_of_python(path):
            found[name] = path
    return found


def _is_of_python(path: Path) -> bool:
    return not _is_installed(path) and path.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())


def _is_installed(path: Path) -> bool:
    return not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


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
