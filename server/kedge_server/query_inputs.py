"""What `query-model` sends: arrays from an .npz, from .npy files, or from JSON cast by the model's own signature."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.cases import as_tensor, read_npz
from kedge_bundle.errors import SamplesInvalid
from kedge_server.client import Arrays, Metadata, Tensor

_CASE_INPUT = "/input/"


class InputsInvalid(Exception):
    """What was given cannot be sent; the message says why and what to give instead."""


@dataclass(frozen=True)
class Inputs:
    """Arrays by input name, and what the user should know about how they were chosen."""

    arrays: Arrays
    notes: list[str] = field(default_factory=list)


def from_npz(path: Path, case: str | None, metadata: Metadata) -> Inputs:
    """The arrays of an .npz that are inputs of the model, or the inputs of one of its golden cases.

    Raises:
        InputsInvalid: it cannot be read, holds nothing that is an input, or holds cases and none is chosen.
    """
    try:
        arrays = read_npz(path)
    except SamplesInvalid as error:
        raise InputsInvalid(str(error)) from error
    if case is not None:
        return Inputs(_case_inputs(path, arrays, case))
    names = {tensor.name for tensor in metadata.inputs}
    chosen = {name: array for name, array in arrays.items() if name in names}
    others = [name for name in arrays if name not in names]
    if chosen:
        notes = [f"{path}: {_listed(others)}: no input of the model, not sent"] if others else []
        return Inputs(chosen, notes)
    if cases := _cases(arrays):
        raise InputsInvalid(f"{path} holds golden cases, not inputs; choose one with --case: {', '.join(cases)}")
    if len(arrays) == len(names) == 1:
        (name,), (only,) = names, arrays
        return Inputs(
            {name: arrays[only]}, [f"{path}: its one array '{only}' is sent as the model's one input '{name}'"]
        )
    raise InputsInvalid(f"{path} holds {_listed(others) or 'nothing'}; the model's inputs are {_listed(sorted(names))}")


def from_npy(pairs: Sequence[str]) -> Inputs:
    """The arrays of `name=file.npy` pairs.

    Raises:
        InputsInvalid: a pair that is none, a name that stands twice, or a file that cannot be read.
    """
    arrays: Arrays = {}
    for pair in pairs:
        name, _, file = pair.partition("=")
        if not name or not file:
            raise InputsInvalid(f"--input: expected name=file.npy, got '{pair}'")
        if name in arrays:
            raise InputsInvalid(f"--input: '{name}' is given twice")
        arrays[name] = _read_npy(Path(file))
    return Inputs(arrays)


def from_json(text: str, metadata: Metadata) -> Inputs:
    """Values from a JSON object of arrays by input name, or from one JSON array for a model with one input.

    Each is cast to the input's dtype; a value that would change by that is an error. "NaN" and "Infinity" are floats.

    Raises:
        InputsInvalid: not JSON, not rectangular, or not of the dtype.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputsInvalid(f"--json: not JSON: {error}") from error
    tensors = {tensor.name: tensor for tensor in metadata.inputs}
    if not isinstance(document, dict):
        if len(tensors) != 1:
            raise InputsInvalid(f"--json: expected an object with the inputs {_listed(sorted(tensors))}")
        document = {next(iter(tensors)): document}
    unknown = sorted(document.keys() - tensors.keys())
    if unknown:
        raise InputsInvalid(f"--json: {_listed(unknown)}: no input of the model; it has {_listed(sorted(tensors))}")
    return Inputs({name: _cast(values, tensors[name]) for name, values in document.items()})


def _cast(values: object, tensor: Tensor) -> NDArray[Any]:
    def refuse(why: str) -> InputsInvalid:
        return InputsInvalid(f"--json: input '{tensor.name}': expected {tensor.dtype} values: {why}")

    if tensor.dtype == "string":
        texts = np.array(values, object)
        if not all(isinstance(text, str) for text in texts.flat):
            raise refuse("got values of other kinds, or rows of different lengths")
        return texts
    dtype = np.dtype(tensor.dtype)
    try:
        given = np.array(values)
        with np.errstate(over="raise"):
            cast = np.array(values, dtype)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise refuse(str(error)) from error
    if given.dtype.kind == "U" and dtype.kind != "f":
        raise refuse("got text")
    if dtype.kind in "iub" and not np.array_equal(given, cast):
        raise refuse("got values that do not fit")
    return cast


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputsInvalid(f"{path}: cannot be read as an .npy array: {error}") from error
    if not isinstance(array, np.ndarray):
        raise InputsInvalid(f"{path}: an .npz of several arrays; give it with --data")
    return as_tensor(array)


def _cases(arrays: Arrays) -> list[str]:
    """The golden cases in an .npz: its members are named `<case>/input/<name>` and `<case>/output/<name>`."""
    return list(dict.fromkeys(name.partition(_CASE_INPUT)[0] for name in arrays if _CASE_INPUT in name))


def _case_inputs(path: Path, arrays: Arrays, case: str) -> Arrays:
    prefix = case + _CASE_INPUT
    found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    if not found:
        there = _cases(arrays)
        raise InputsInvalid(
            f"{path}: no golden case '{case}' in it; it has {', '.join(there) if there else 'none at all'}"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
