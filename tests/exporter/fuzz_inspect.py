"""Inspects mutants of an ordinary file: `python -m tests.exporter.fuzz_inspect DIRECTORY SEED COUNT`.

A process of its own: should a library break on a mutant, the parent sees how. Prints one JSON line in the end.
"""

import json
import random
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from kedge_exporter.errors import ExportError
from kedge_exporter.inspect import inspect
from tests.exporter.keras_files import layer, members, model, weights

ODD: list[Any] = [
    None, True, -1, 2**70, 1e308, float("nan"), "", "\0", "__lambda__", "Lambda", "os", "keras.layers", "../x",
    "/etc/passwd", [], {}, [[]], {"class_name": "Lambda"}, {"class_name": None}, {"config": 3}, "x" * 5000,
]  # fmt: skip


def flipped(rng: random.Random, content: bytes) -> bytes:
    """A few bytes are others, or a piece is missing, doubled or moved."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    place, length = rng.randrange(len(changed)), rng.choice([0, 0, 1, 8, 500])
    kind = rng.randrange(4)
    if kind == 0:
        del changed[place : place + length]
    elif kind == 1:
        changed[place:place] = changed[:length]
    return bytes(changed)


def bent(rng: random.Random, document: Any, depth: int = 0) -> Any:  # noqa: ANN401 (JSON)
    """One value somewhere in a document is an odd one."""
    if depth and (rng.random() < 0.15 or not isinstance(document, dict | list) or not document):
        return rng.choice(ODD)
    if isinstance(document, dict):
        key = rng.choice(list(document))
        if rng.random() < 0.1:
            return {**document, rng.choice(["class_name", "module", "vocabulary", "registered_name"]): rng.choice(ODD)}
        return {**document, key: bent(rng, document[key], depth + 1)}
    place = rng.randrange(len(document))
    return [*document[:place], bent(rng, document[place], depth + 1), *document[place + 1 :]]


def mutant(rng: random.Random, path: Path) -> None:
    """Write one: a bent configuration, or broken weights with a right checksum, or a broken archive."""
    config = model(layer(), layer("StringLookup", vocabulary=["a"]), layer(activation={
        "module": "keras.activations", "class_name": "function", "config": "relu", "registered_name": "relu",
    }))  # fmt: skip
    parts = members(config__json=config)
    kind = rng.randrange(3)
    if kind == 0:
        parts["config.json"] = json.dumps(bent(rng, config)).encode()
    elif kind == 1:
        parts["model.weights.h5"] = flipped(rng, weights())
    with zipfile.ZipFile(path, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    if kind == 2:
        path.write_bytes(flipped(rng, path.read_bytes()))


def main(directory: Path, seed: int, count: int) -> None:
    rng = random.Random(seed)  # noqa: S311 (mutants, no secrets)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    path = directory / "m.keras"
    for _ in range(count):
        mutant(rng, path)
        start = time.monotonic()
        try:
            inspect(path, has_custom=rng.random() < 0.5)
            outcomes["taken"] += 1
        except ExportError as error:
            outcomes[f"exit {error.exit_code}"] += 1
            if "\n" in str(error) or not str(error).startswith(f"{path}: "):
                raise ValueError(f"not one sentence with the file in front: {error!r}") from error
        slowest = max(slowest, time.monotonic() - start)
    print(json.dumps({"outcomes": outcomes, "slowest": slowest, "left": [p.name for p in directory.iterdir()]}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
