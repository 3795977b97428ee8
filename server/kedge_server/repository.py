"""What is in the repository now: versions, labels, and whether files still change. Opens no bundle, keeps nothing.

Runs in threads, off the event loop: a disk may be slow, or a network share gone.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kedge_bundle.errors import BundleUnreadable
from kedge_bundle.manifest import read_manifest
from kedge_bundle.store import UNLISTED, is_bundle, models, versions
from kedge_server.loading import Place
from kedge_server.version_policy import check_labels

LABELS_FILE = "labels.json"
_LABELS_BYTES = 1 << 16

FilesPrint = tuple[tuple[str, int, int, int], ...]
"""Path, size, time of the last change (of permissions, too) and inode of every file and directory of a version."""


@dataclass(frozen=True)
class Labels:
    """What a model's `labels.json` says; `invalid` is why it cannot be read, empty where it can."""

    versions: Mapping[str, int] = field(default_factory=dict)
    invalid: str = ""


@dataclass(frozen=True)
class Sight:
    """What one look at the repository has found.

    Attributes:
        identity: device and inode of the directory that was looked at; another directory in its place has another.
            None: the repository is gone.
        places: model -> version -> where it is. A model whose directory cannot be listed has the version `UNLISTED`.
        labels: model -> its `labels.json`, where there is one.
    """

    identity: tuple[int, int] | None
    places: Mapping[str, Mapping[int, Place]]
    labels: Mapping[str, Labels] = field(default_factory=dict)


NOTHING = Sight(None, {})
"""What is seen of a repository that is gone."""


class Repository:
    """A directory that holds models, the versions of one model, or one bundle; the first look says which of the three.

    Args:
        path: the directory; a symbolic link is followed anew at each look.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._kind: Literal["models", "versions", "bundle"] | None = None

    def look(self) -> Sight:
        """List what is there.

        Raises:
            BundleUnreadable: there is nothing, or nothing that looks like any of the three.
        """
        try:
            directory = self.path.resolve()
            if not directory.is_dir():
                raise BundleUnreadable(
                    f"{self.path}: no such directory; expected a repository of models, a model, or a bundle"
                )
            status = directory.stat()
            found = self._list(directory)
            labels = {
                name: read
                for name, places in found.items()
                if self._kind != "bundle"
                and UNLISTED not in places
                and (read := _labels(next(iter(places.values())).directory)) is not None
            }
        except OSError as error:
            raise BundleUnreadable(f"{error.filename}: cannot be read: {error.strerror}") from error
        except RuntimeError as error:  # so says `resolve`
            raise BundleUnreadable(f"{self.path}: its symbolic links lead in a circle") from error
        if not found:
            raise BundleUnreadable(
                f"{self.path}: no bundle in here; expected <name>/<version>/manifest.json, as export-model writes it"
            )
        return Sight((status.st_dev, status.st_ino), found, labels)

    def directory_of(self, model: str) -> Path:
        """Where the versions of a model that is here are."""
        return self._directory_in(self.path, model)

    def is_directory_of(self, model: str, path: str) -> bool:
        """Whether a path that somebody names is the directory of a model that is here."""
        roots = (self.path, self.path.resolve())
        return os.path.normpath(path) in {os.path.normpath(self._directory_in(root, model)) for root in roots}

    def _directory_in(self, root: Path, model: str) -> Path:
        if self._kind == "models":
            return root / model
        return root.parent if self._kind == "bundle" else root

    def _list(self, directory: Path) -> dict[str, dict[int, Place]]:
        if self._kind is None:
            self._kind = "bundle" if is_bundle(directory) else "versions" if versions(directory) else "models"
        if self._kind == "bundle":
            manifest = read_manifest(directory)
            return {manifest.name: {manifest.version: Place(manifest.name, manifest.version, directory)}}
        if self._kind == "versions":
            listed = {directory.name: own} if (own := versions(directory)) else {}
        else:
            listed = models(directory)
        return {name: {number: Place(name, number, where) for number, where in each} for name, each in listed.items()}


def files_print(place: Place) -> FilesPrint:
    """What a version's files and directories look like from outside; what cannot be looked at is left out."""
    if place.version == UNLISTED:
        return ()
    found: list[tuple[str, int, int, int]] = []
    for root, _, names in os.walk(place.directory):
        for path in (Path(root), *(Path(root, name) for name in names)):
            try:
                status = path.lstat()
            except OSError:  # gone since it was listed
                continue
            found.append((str(path), status.st_size, status.st_ctime_ns, status.st_ino))
    return tuple(sorted(found))


def _labels(version: Path) -> Labels | None:
    """The labels of the model that a version belongs to; None where its directory has no such file."""
    path = version.parent / LABELS_FILE
    try:
        with path.open("rb") as file:
            data = file.read(_LABELS_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Labels(invalid=f"{path}: cannot be read: {error.strerror}")
    try:
        if len(data) > _LABELS_BYTES:
            raise ValueError(f"more than {_LABELS_BYTES} bytes")  # noqa: TRY301 (one place says which file it is)
        document = json.loads(data)
        if not isinstance(document, dict):
            raise TypeError('expected {"label": version, …}')  # noqa: TRY301 (as above)
        return Labels(check_labels(document))
    except (ValueError, TypeError, RecursionError) as error:
        return Labels(invalid=f"{path}: {error}")
