"""Altered copies of a converted artifact: one weight changed, or the last softmax or sigmoid taken out.

A proof that cannot tell the first from the artifact is blind; the second shows what a saturated head hides. One module
a format, the same shape in each: `changed_weight` and `without_heads` write the files that differ, the others are
copied here. No model is loaded, and no more of a file is held in memory than what changes.
"""

import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from kedge_bundle.manifest import Artifact, FormatName
from kedge_bundle.store import describe_file

FACTOR = 1.001
"""One part in a thousand."""

_MODULES: dict[FormatName, str] = {
    "saved_model": "kedge_exporter.copies.saved_model",
    "tflite": "kedge_exporter.copies.tflite",
    "onnx": "kedge_exporter.copies.onnx",
}


class NoWeight(Exception):
    """The artifact has no weight that could be changed by so little: a model of preprocessing only."""


@dataclass(frozen=True)
class Weight:
    """A tensor of constants inside an artifact.

    Attributes:
        name: what the format calls it.
        shape: its shape, as the format keeps it.
    """

    name: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many values it has."""
        count = 1
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True)
class ChangedCopy:
    """A copy in which one weight differs, and nothing else.

    Attributes:
        artifact: the copy's entry, with the hashes of its own files; `failed`, since nothing was proven of it.
        weight: what was changed.
    """

    artifact: Artifact
    weight: Weight


@dataclass(frozen=True)
class HeadlessCopy:
    """A copy in which outputs answer with what their last softmax or sigmoid was given.

    Attributes:
        artifact: the copy's entry; the format's own names of these outputs may be others than before.
        outputs: Keras' names of the outputs that are logits now, in the artifact's order.
    """

    artifact: Artifact
    outputs: tuple[str, ...]


class _Format(Protocol):
    """What every module of a format has; `into` exists, and has none of the artifact's files."""

    def changed_weight(self, directory: Path, artifact: Artifact, into: Path, factor: float) -> Weight:
        """Write the file that differs.

        Raises:
            NoWeight: there is nothing to change.
        """
        ...

    def without_heads(
        self, directory: Path, artifact: Artifact, into: Path, outputs: tuple[str, ...]
    ) -> dict[str, str]:
        """Write the file that differs, if any; the outputs that are logits now, and what the format calls them."""
        ...


def changed_weight(directory: Path, artifact: Artifact, into: Path, factor: float = FACTOR) -> ChangedCopy:
    """Copy an artifact with one weight multiplied by `factor`.

    The weight is that of the last matrix product or convolution before the outputs, before all of them where there is
    one; where there is none, the largest constant of at least two values that arithmetic reads.

    Args:
        directory: where the artifact's files are.
        artifact: its entry; of one that answers as Keras does, not of a quantized one.
        into: where the copy goes; none of the files may be there.
        factor: what to multiply by.

    Raises:
        NoWeight: the artifact has no such weight.
        FileExistsError: one of its files is in `into` already.
        OSError: the disk is full or cannot be written.
    """
    _make_room(artifact, into)
    weight = _module(artifact).changed_weight(directory, artifact, into, factor)
    return ChangedCopy(_finished(directory, artifact, into), weight)


def without_heads(
    directory: Path, artifact: Artifact, into: Path, outputs: tuple[str, ...] | None = None
) -> HeadlessCopy | None:
    """Copy an artifact without the last softmax or sigmoid of its outputs.

    Args:
        directory: where the artifact's files are.
        artifact: its entry.
        into: where the copy goes; none of the files may be there.
        outputs: Keras' names of the outputs to look at; all of them when None.

    Returns:
        None where none of the outputs ends in one; `into` is left empty.

    Raises:
        FileExistsError: one of its files is in `into` already.
        OSError: the disk is full or cannot be written.
    """
    _make_room(artifact, into)
    wanted = tuple(artifact.outputs) if outputs is None else outputs
    logits = _module(artifact).without_heads(directory, artifact, into, wanted)
    if not logits:
        return None
    entry = _finished(directory, artifact, into).model_copy(update={"outputs": artifact.outputs | logits})
    return HeadlessCopy(entry, tuple(name for name in artifact.outputs if name in logits))


def _module(artifact: Artifact) -> _Format:
    return cast("_Format", import_module(_MODULES[artifact.format]))


def _make_room(artifact: Artifact, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for file in artifact.files:
        if (into / file.path).exists():
            raise FileExistsError(f"{into / file.path}: exists; a copy does not overwrite anything")


def _finished(directory: Path, artifact: Artifact, into: Path) -> Artifact:
    """Copy what does not differ, and describe the copy."""
    for file in artifact.files:
        target = into / file.path
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(directory / file.path, target)
    changes = {
        "files": tuple(describe_file(into, into / file.path) for file in artifact.files),
        "verdict": "failed",
        "max_abs_error": None,
        "latency": None,
        "reproducible": None,
    }
    return artifact.model_copy(update=changes)
