"""Where the numbers of a page come from: what its `data` elements point at, looked up in the proof and the manifest."""

import math
import re
from typing import Any
from urllib.parse import unquote

from kedge_bundle.manifest import Manifest
from kedge_exporter.proof_file import Proof
from kedge_exporter.report.numbers import TIMES

_UNITS = {
    "": 1.0, "%": 0.01,
    "bytes": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "dB": 1.0, "ms": 1.0, "ms a run": 1.0, TIMES: 1.0,
    "times": 1.0, "units": 1.0, "row": 1.0, "rows": 1.0,
}  # fmt: skip
_WORDS = re.compile(r"^(?P<before>[^\d-]*)(?P<number>-?[\d.,]+(?:e-?\d+)?)\s*(?P<unit>.*)$")
_ROUNDED = 0.051
"""Two digits that count may be off by as much."""


def pointed_at(place: str, row: str | None, proof: Proof, manifest: Manifest) -> Any:  # noqa: ANN401 (any number)
    """The number at a place, from the models as they were read back from their files.

    Args:
        place: `data-at` of an element.
        row: that of the table's row around it, if any: a place that is no pointer is a name there.
    """
    if not place.startswith(("/", "manifest.json/")):
        place = f"{row}/{place}"
    root: Any = proof
    if place.startswith("manifest.json"):
        root, place = manifest, place.removeprefix("manifest.json")
    pointer, _, worked_out = place.partition("#")
    for token in pointer.split("/")[1:]:
        name = unquote(token).replace("~1", "/").replace("~0", "~")
        if isinstance(root, dict):
            root = root[name]
        else:
            root = root[int(name)] if isinstance(root, tuple) else getattr(root, name)
    return getattr(root, worked_out) if worked_out else root


def says(text: str, value: float) -> bool:
    """Whether what people read is the number, to two digits at least."""
    if not math.isfinite(value):
        return text in ("∞", "-∞", "NaN", "equal")
    found = _WORDS.match(text)
    assert found, text
    read = float(found["number"].replace(",", "")) * _UNITS[found["unit"].strip()]
    if found["before"].strip() == ">":
        return value > read
    return math.isclose(read, value, rel_tol=_ROUNDED)
