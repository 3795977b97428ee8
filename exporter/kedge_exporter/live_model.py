"""A live Keras model: saved to a file, and where its own classes are. It is the caller that imported Keras."""

import json
import re
import sys
import tempfile
import zipfile
from pathlib import Path

from kedge_exporter.errors import ModelRefused, UsageError
from kedge_exporter.keras_file.archive import METADATA
from kedge_exporter.writing import as_write_error

_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST_STEM = 100
_CHUNK = 1 << 20


def save(model: object, directory: Path) -> Path:
    """Save a live Keras model; the file bears its name.

    Two saves of an unchanged model hold the same content, so that its export is recognised.

    Args:
        model: a `keras.Model`, of whatever backend the caller's Keras has.
        directory: an empty one.

    Raises:
        UsageError: it is no Keras model.
        ModelRefused: it has no weights yet, or Keras cannot save it.
        OSError: the file cannot be written.
    """
    base = getattr(sys.modules.get("keras"), "Model", None)
    if base is None or not isinstance(model, base):
        kind = type(model)
        raise UsageError(
            f"expected the path of a .keras file or a Keras 3 model, got a {kind.__qualname__} of {kind.__module__}"
        )
    if not model.built:
        raise ModelRefused(
            f"the model '{model.name}' has no weights yet: neither its input nor a call has told it a shape; train it, "
            "or call it once on a row of data"
        )
    stem = _NOT_IN_FILE_NAMES.sub("_", model.name)[:_LONGEST_STEM]
    path = directory / f"{stem}.keras"
    with tempfile.TemporaryDirectory(dir=directory) as aside:
        saved = Path(aside) / "model.keras"
        try:
            model.save(saved)
        except Exception as error:
            if (write_error := as_write_error(error)) is not None:
                raise write_error from error
            reason = " ".join(str(error).strip().partition("\n\n")[0].split())  # an example of code may follow
            raise ModelRefused(f"Keras cannot save the model '{model.name}': {reason}") from error
        _copy_without_date(saved, path)
    return path


def homes_of_own_classes(model: object) -> str:
    """Where the classes of a live model are defined that Keras does not have; empty where it has all of them."""
    layers = model._flatten_layers()  # type: ignore[attr-defined]  # noqa: SLF001 (no public way into nested layers)
    own = {type(layer) for layer in layers if type(layer).__module__.partition(".")[0] != "keras"}
    return "; ".join(sorted(_home(kind) for kind in own))


def _home(kind: type) -> str:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if kind.__module__ == "__main__" or file is None:
        return (
            f"'{kind.__name__}' is defined in this session: move it into a module of its own, which holds nothing that "
            "should not run again, import it from there, and give that file as custom="
        )
    return f"'{kind.__name__}' is defined in {file}"


def _copy_without_date(saved: Path, path: Path) -> None:
    """Copy a `.keras` file without the moment of its saving, which says nothing of the model."""
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            if info.filename == METADATA:
                metadata = json.loads(source.read(info))
                metadata.pop("date_saved", None)
                target.writestr(zipfile.ZipInfo(METADATA), json.dumps(metadata))
                continue
            with source.open(info) as reading, target.open(info.filename, "w", force_zip64=True) as writing:
                while chunk := reading.read(_CHUNK):
                    writing.write(chunk)
