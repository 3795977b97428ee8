"""Inputs with their expected outputs, and the `.npz` files that hold them: `golden.npz`, the samples of a proof."""

import tokenize
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.errors import SamplesInvalid
from kedge_bundle.signature import Tensors

_INPUT, _OUTPUT, _REFERENCE = "input", "output", "reference"
_NPY_MAGIC = b"\x93NUMPY"
_UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, OverflowError, MemoryError, RuntimeError, SyntaxError,
    zipfile.BadZipFile, zlib.error, tokenize.TokenError,
)  # fmt: skip
"""What numpy and `zipfile` raise on archives that are damaged, encrypted or lie about their sizes."""


@dataclass(frozen=True)
class Case:
    """One set of inputs, each (rows, ...), and what is right to answer to them.

    Attributes:
        name: its kind, its number of rows, and what else tells it apart, with hyphens between.
        outputs: what Keras answers.
        reference: what the same weights answer in float64; only the outputs of floats, or none at all.
    """

    name: str
    inputs: Tensors
    outputs: Tensors = field(default_factory=dict)
    reference: Tensors = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """What the inputs are like: `typical`, `data`, `zeros`."""
        return self.name.partition("-")[0]


def write_cases(path: Path, cases: list[Case], *, is_compressed: bool = True) -> None:
    """Write cases to an `.npz` whose members are `<case>/input/<name>`, `<case>/output/<name>`, and `reference`."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for case in cases:
        for side, tensors in ((_INPUT, case.inputs), (_OUTPUT, case.outputs), (_REFERENCE, case.reference)):
            for name, array in tensors.items():
                # Object arrays need pickle, which we never load; fixed-width bytes carry strings as well.
                arrays[f"{case.name}/{side}/{name}"] = array.astype(np.bytes_) if array.dtype == object else array
    with path.open("wb") as file:
        (np.savez_compressed if is_compressed else np.savez)(file, allow_pickle=False, **arrays)


def read_cases(path: Path) -> list[Case]:
    """Read what `write_cases` wrote, in the same order.

    Raises:
        SamplesInvalid: not an `.npz`, or its members are not named `<case>/input|output|reference/<name>`.
    """
    cases: dict[str, Case] = {}
    for member, array in read_npz(path).items():
        name, _, rest = member.partition("/")
        side, _, tensor = rest.partition("/")
        if side not in (_INPUT, _OUTPUT, _REFERENCE) or not tensor:
            raise SamplesInvalid(f"{path}: the member '{member}' is not named <case>/input|output|reference/<name>")
        case = cases.setdefault(name, Case(name, {}, {}, {}))
        {_INPUT: case.inputs, _OUTPUT: case.outputs, _REFERENCE: case.reference}[side][tensor] = array
    return list(cases.values())


def read_npz(path: Path) -> Tensors:
    """Read the arrays of an `.npz` without ever unpickling; bytes come back as object arrays of bytes.

    Raises:
        SamplesInvalid: the file is missing, is not an `.npz`, is damaged, holds pickled objects or something that is
            no array, or says that it holds more than this machine has memory for.
    """
    try:
        with path.open("rb") as file:
            _check_is_npz(path, file.read(len(_NPY_MAGIC)))
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        raise SamplesInvalid(f"{path}: cannot be read as an .npz of arrays: {error}") from error
    if strangers := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise SamplesInvalid(f"{path}: the members {strangers} are no arrays")
    return {name: as_tensor(array) for name, array in arrays.items()}


def _check_is_npz(path: Path, magic: bytes) -> None:
    """Name what is no zip archive ourselves: numpy takes it for a pickle and advises to trust it."""
    if magic == _NPY_MAGIC:
        raise SamplesInvalid(f"{path}: a single .npy array; expected an .npz of named arrays")
    if not magic.startswith(b"PK"):
        raise SamplesInvalid(
            f"{path}: cannot be read as an .npz of arrays: no zip archive, as numpy.savez writes it; it begins with "
            f"{magic!r}"
        )


def as_tensor(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Numpy's text and bytes dtypes as the object array of bytes that carries strings here; others unchanged."""
    if array.dtype.kind == "U":
        return np.array([str(item).encode("utf-8") for item in array.ravel()], object).reshape(array.shape)
    return array.astype(object) if array.dtype.kind == "S" else array
