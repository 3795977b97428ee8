"""Bundles on disk: opening one checks its hashes, writing one is all or nothing, a repository is a tree of them."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kedge_bundle.cases import Case, read_cases
from kedge_bundle.errors import BundleTampered, BundleUnreadable, ManifestInvalid, VersionTaken
from kedge_bundle.judge import Judge
from kedge_bundle.manifest import (
    FILE_NAME,
    HIGHEST_VERSION,
    MODEL_NAME,
    Artifact,
    File,
    Manifest,
    parse_manifest,
    read_manifest_bytes,
    write_manifest,
)

_CHUNK = 1 << 20
_STAGING_PREFIX = ".staging-"

UNLISTED = 0
"""Stands for the versions of a model whose directory cannot be listed; real versions begin at 1."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: every file that the manifest lists was there with the right hash.

    Attributes:
        directory: where it is.
        manifest: what its `manifest.json` says.
        manifest_sha256: of the very bytes that `manifest` was read from, whatever lies there by now; empty where the
            bundle is a draft that nobody has published, of which no record speaks.
    """

    directory: Path
    manifest: Manifest
    manifest_sha256: str = ""

    @cached_property
    def golden(self) -> list[Case]:
        """The golden inputs and Keras' answers to them."""
        return read_cases(self.directory / self.manifest.golden.path)

    def golden_of(self, artifact: Artifact) -> tuple[list[Case], Judge]:
        """The golden inputs with what this artifact should answer, and what judges the error that it shows.

        A quantized artifact does not answer as Keras does, by design: a replay asks whether it answers as it did when
        it was judged. How far that is from Keras was settled then, on many more rows. Cases with NaN are not replayed.
        """
        if artifact.quantized is None:
            return self.golden, self.manifest.judge(self.golden)
        own = {case.name: case.outputs for case in read_cases(self.directory / artifact.quantized.golden.path)}
        if not own or not own.keys() <= {case.name for case in self.golden}:
            raise ManifestInvalid(
                f"{self.directory}: '{artifact.quantized.golden.path}' answers the cases {sorted(own)}, "
                f"the golden ones are {sorted(case.name for case in self.golden)}"
            )
        answered = [replace(case, outputs=own[case.name], reference={}) for case in self.golden if case.name in own]
        return answered, Judge.of(answered, artifact.quantized.budget)


def open_bundle(directory: Path) -> Bundle:
    """Open a bundle, or say why it must not be used.

    Raises:
        BundleUnreadable: no bundle is there, or a file is missing.
        ManifestInvalid: the manifest cannot be read by this version.
        BundleTampered: a wrong size or hash, a symbolic link, a path that leaves the bundle.
    """
    if not directory.is_dir():
        raise BundleUnreadable(f"{directory}: no such directory")
    data = read_manifest_bytes(directory)
    manifest = parse_manifest(directory, data)
    _check_no_link(directory, FILE_NAME)
    for file in manifest.files:
        _check_file(directory, file)
    return Bundle(directory, manifest, hashlib.sha256(data).hexdigest())


def describe_file(directory: Path, path: Path) -> File:
    """The manifest's entry for a file inside `directory`."""
    return File(path=path.relative_to(directory).as_posix(), bytes=path.stat().st_size, sha256=sha256_of(path))


def sha256_of(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def staging(repository: Path, name: str) -> Iterator[Path]:
    """A directory beside the place of `name`'s versions to build a bundle in; gone afterwards, whatever happened.

    Raises:
        OSError: the repository cannot be written.
    """
    parent = repository / name
    made = [path for path in (parent, *parent.parents) if not path.exists()]
    directory: Path | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=parent))
        yield directory
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
        for path in made:  # innermost first: leave no empty directory behind where nothing was published
            try:
                path.rmdir()
            except OSError:
                break


def write_bundle(
    staged: Path, repository: Path, make_manifest: Callable[[int], Manifest], *, version: int | None = None
) -> Bundle:
    """Publish a staged directory as the next version (or `version`) of its model: whole, or not at all.

    Args:
        staged: a directory from `staging`, with every file but the manifest.
        repository: the directory of models.
        make_manifest: gives the manifest for the version that the bundle gets.
        version: the version to take; the next free one when None.

    Raises:
        VersionTaken: `version` exists.
        OSError: the disk is full or cannot be written; nothing is published.
    """
    manifest = make_manifest(version or 1)
    parent = repository / manifest.name
    while True:
        number = version or next_version(parent)
        manifest = make_manifest(number)
        manifest_sha256 = hashlib.sha256(write_manifest(staged, manifest)).hexdigest()
        _flush(staged)
        target = parent / str(number)
        staged.chmod(0o755)  # mkdtemp made it for its owner alone; servers run as somebody else
        try:
            # One step for every observer. Of two exports at once, the second finds a directory that is not empty.
            staged.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            if version is not None:
                raise VersionTaken(f"{target} exists; published versions never change") from error
            continue
        _flush_directory(parent)
        return Bundle(target, manifest, manifest_sha256)


def next_version(parent: Path) -> int:
    """One more than the highest version in a model's directory; a file or a link of such a name is in the way, too."""
    names = [path.name for path in parent.iterdir()] if parent.is_dir() else []
    return max((int(name) for name in names if _is_version_name(name)), default=0) + 1


def versions(parent: Path) -> list[tuple[int, Path]]:
    """The version directories of one model, lowest first; anything else in there is passed over."""
    if not parent.is_dir():
        return []
    found = [(int(path.name), path) for path in parent.iterdir() if _is_version(path)]
    return sorted(found)


def models(repository: Path) -> dict[str, list[tuple[int, Path]]]:
    """The models of a repository and the directories of their versions, lowest first. Nothing is opened.

    A model whose directory cannot be listed stands there as the version `UNLISTED`: opening it says what is wrong, and
    the models beside it are still served. What cannot be listed and is no model by its name, a disk's `lost+found`, is
    passed over, and so are names that no caller could send.

    Raises:
        BundleUnreadable: the repository is no directory or cannot be listed.
    """
    try:
        directories = sorted(path for path in repository.iterdir() if _may_be_model(path.name) and _is_directory(path))
    except OSError as error:
        raise BundleUnreadable(f"{repository}: cannot be listed: {error.strerror}") from error
    return {path.name: found for path in directories if (found := _versions_or_unlisted(path))}


def _versions_or_unlisted(parent: Path) -> list[tuple[int, Path]]:
    try:
        return versions(parent)
    except OSError:
        return [(UNLISTED, parent)] if MODEL_NAME.fullmatch(parent.name) else []


def is_bundle(directory: Path) -> bool:
    """Whether this directory is itself a bundle, not a repository of them."""
    return (directory / FILE_NAME).is_file()


def _is_version(path: Path) -> bool:
    return _is_version_name(path.name) and _is_directory(path)


def _is_directory(path: Path) -> bool:
    """Whether this is a directory, or cannot be looked at: opening it will say why."""
    try:
        return path.is_dir()
    except OSError:
        return True


def _may_be_model(name: str) -> bool:
    """Whether a directory of this name is looked into: hidden ones are not, nor those whose names are no text."""
    return not name.startswith(".") and name.encode("utf-8", "replace") == os.fsencode(name)


def _is_version_name(name: str) -> bool:
    is_number = name.isascii() and name.isdigit() and not name.startswith("0")
    return is_number and int(name) <= HIGHEST_VERSION


def _check_file(directory: Path, file: File) -> None:
    _check_no_link(directory, file.path)
    path = directory / file.path
    try:
        if not path.is_file():
            raise BundleUnreadable(f"{directory}: '{file.path}' is missing")
        size = path.stat().st_size
        if size != file.bytes:
            raise BundleTampered(f"{directory}: '{file.path}' has {size} bytes, the manifest says {file.bytes}")
        digest = sha256_of(path)
    except OSError as error:
        raise BundleUnreadable(f"{path}: cannot be read: {error.strerror}") from error
    if digest != file.sha256:
        raise BundleTampered(
            f"{directory}: '{file.path}' is not the file that was proven: sha256 {digest[:12]}…, "
            f"the manifest says {file.sha256[:12]}…"
        )


def _check_no_link(directory: Path, relative: str) -> None:
    path = directory
    for part in Path(relative).parts:
        path = path / part
        if path.is_symlink():
            raise BundleTampered(f"{directory}: '{path.relative_to(directory)}' is a symbolic link")


def _flush(directory: Path) -> None:
    for root, _, names in os.walk(directory):
        for name in names:
            descriptor = os.open(Path(root) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        _flush_directory(Path(root))


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
