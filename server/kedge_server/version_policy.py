"""Which versions of a model are wanted, and the names that stand for some of them. Text in, numbers out; no disk here.

Read by the settings, so it imports nothing that `--help` would wait for.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
"""What a label looks like: never like a version's number, and short enough for a message."""

_HIGHEST_VERSION = (1 << 63) - 1
"""The manifest's, written out: importing that takes numpy, and `--help` takes none of it."""

_EXPECTED = "expected 'all', 'latest:N' or 'specific:N,N'"


class Label(NamedTuple):
    """A name for one version of one model, as `--labels` gives it."""

    model: str
    label: str
    version: int


@dataclass(frozen=True)
class VersionPolicy:
    """Which of a model's versions to serve: every one, the `latest` so many, or those that are `specific`.

    Attributes:
        latest: how many, from the highest; 0 is no such bound.
        specific: these and no others; empty is no such list.
    """

    latest: int = 0
    specific: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "VersionPolicy":
        """Read `all`, `latest:N` or `specific:N,N`.

        Raises:
            ValueError: it is none of these.
        """
        kind, _, rest = text.strip().partition(":")
        if kind == "all" and not rest:
            return cls()
        numbers = tuple(_number(part) for part in rest.split(","))
        if 0 not in numbers:
            if kind == "latest" and len(numbers) == 1:
                return cls(latest=numbers[0])
            if kind == "specific":
                return cls(specific=tuple(sorted(set(numbers))))
        raise ValueError(f"{_EXPECTED}, got '{text}'")

    def __str__(self) -> str:
        if self.specific:
            return "specific:" + ",".join(map(str, self.specific))
        return f"latest:{self.latest}" if self.latest else "all"

    def wanted(self, versions: Collection[int], broken: Collection[int] = ()) -> set[int]:
        """Those of `versions` that should be served.

        Args:
            versions: what there is.
            broken: those among them that cannot be served. They are no part of the latest so many: a new version that
                is broken takes no place from an old one that is not, also when the server starts anew.
        """
        if self.specific:
            return {version for version in versions if version in self.specific}
        if self.latest:
            return set(sorted(set(versions) - set(broken))[-self.latest :])
        return set(versions)


ALL = VersionPolicy()


def parse_labels(text: str) -> tuple[Label, ...]:
    """Read `MODEL:LABEL=VERSION,…`.

    Raises:
        ValueError: it is none of this, or names one label of a model twice.
    """
    labels = tuple(_label(part.strip()) for part in text.split(",") if part.strip())
    if len({label[:2] for label in labels}) < len(labels):
        raise ValueError(f"expected each label of a model once, got '{text}'")
    return labels


def labels_of(model: str, labels: tuple[Label, ...]) -> dict[str, int]:
    """Label -> version, of one model."""
    return {label.label: label.version for label in labels if label.model == model}


def check_labels(labels: Mapping[str, object]) -> dict[str, int]:
    """Labels and versions that came from a file or a caller.

    Raises:
        ValueError: a name that is no label, or a version that is no version.
    """
    for label, version in labels.items():
        if not LABEL.fullmatch(label):
            raise ValueError(
                f"'{label[:64]}' is no label: expected a letter first, then letters, digits, '_', '.', '-'"
            )
        if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= _HIGHEST_VERSION:
            raise ValueError(f"label '{label}': expected the number of a version, got {str(version)[:64]!r}")
    return {label: version for label, version in labels.items() if isinstance(version, int)}


def _label(text: str) -> Label:
    model, _, rest = text.rpartition(":")
    label, _, version = rest.partition("=")
    number = _number(version)
    if not model or not LABEL.fullmatch(label) or not number:
        raise ValueError(f"expected 'MODEL:LABEL=VERSION', separated by commas, got '{text}'")
    return Label(model, label, number)


def _number(text: str) -> int:
    """The number of a version; 0 where the text is none."""
    text = text.strip()
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(_HIGHEST_VERSION))
    return int(text) if is_number and int(text) <= _HIGHEST_VERSION else 0
