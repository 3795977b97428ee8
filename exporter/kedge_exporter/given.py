"""What the caller of `export_model` gave, as the files that an export reads: paths as they are, the rest written."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kedge_exporter import live_model
from kedge_exporter.errors import UsageError
from kedge_exporter.progress import Progress

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Given:
    """The files of one export.

    Attributes:
        model: the `.keras` file.
        data: the `.npz` of samples, where there is one.
        places: how to call those that are temporary, by their path.
        homes: where the classes of a live model are defined that Keras does not have; may be empty.
    """

    model: Path
    data: Path | None
    places: Mapping[str, str]
    homes: str = ""

    def renamed(self, text: str) -> str:
        """A text without the names of temporary files."""
        for path, words in self.places.items():
            text = text.replace(path, words)
        return text

    def explained(self, error: str) -> str:
        """What stopped the export, without the names of temporary files, and which file is the one for `--custom`."""
        is_about_own_classes = bool(self.homes) and "--custom module.py" in error
        return self.renamed(error) + (f"; {self.homes}" if is_about_own_classes else "")


def files_of(
    model: object, data: StrPath | ArrayLike | Mapping[str, ArrayLike] | None, directory: Path, progress: Progress
) -> Given:
    """Write what has no file yet.

    Args:
        model: the path of a `.keras` file, or a live `keras.Model`.
        data: the path of an `.npz`, an array of shape (rows, ...), arrays by name, or nothing.
        directory: an empty one for temporary files.
        progress: told when a model is saved.

    Raises:
        UsageError: the model is none, or the data is no arrays.
        ModelRefused: Keras cannot save the model.
        OSError: a file cannot be written.
    """
    places: dict[str, str] = {}
    homes = ""
    if isinstance(model, str | os.PathLike):
        model_file = Path(model)
    else:
        with progress.phase("save") as phase:
            model_file = live_model.save(model, directory)
            phase.detail = f"{model_file.stat().st_size:,} bytes"
        places[str(model_file)] = f"the live model '{model_file.stem}'"
        homes = live_model.homes_of_own_classes(model)
    if data is None or isinstance(data, str | os.PathLike):
        data_file = None if data is None else Path(data)
    else:
        data_file = directory / "data.npz"
        write_samples(data, data_file)
        places[str(data_file)] = "the arrays given"
    return Given(model_file, data_file, places, homes)


def write_samples(data: ArrayLike | Mapping[str, ArrayLike], path: Path) -> None:
    """Write arrays as an `.npz`: the same bytes for the same arrays.

    Args:
        data: an array of rows for the one input of a model, or arrays by name.
        path: the file to write.

    Raises:
        UsageError: something is no array of numbers, booleans, text or bytes.
        OSError: the file cannot be written.
    """
    arrays = data if isinstance(data, Mapping) else {"data": data}
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in arrays.items():
            array = _array(name, values)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:  # its date is a fixed one
                np.lib.format.write_array(file, array, allow_pickle=False)


def _array(name: object, values: ArrayLike) -> NDArray[np.generic]:
    if not isinstance(name, str):
        raise UsageError(f"data: expected arrays by the names of the model's inputs, got the key {name!r}")
    try:
        array = np.asarray(values)
        if array.dtype == object:  # text, as tables keep it; or bytes
            array = np.asarray(array.tolist())
    except ValueError as error:
        raise UsageError(f"data: '{name}' is no array: {error}") from error
    if array.ndim == 0 or array.dtype.kind not in "biufSU":
        raise UsageError(
            f"data: '{name}': expected an array of rows of numbers, booleans or text, got a "
            f"{type(values).__qualname__} that numpy reads as {array.dtype} of shape {array.shape}"
        )
    return array
