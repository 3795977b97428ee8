"""The inputs of the proof: seeded, of several kinds, always such as the model takes. numpy only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.cases import Case
from kedge_bundle.signature import Signature, Tensors, TensorSpec, row_count
from kedge_bundle.stats import InputStats
from kedge_exporter.readings import Reading

BATCHES = (1, 2, 3, 7, 32)
SIZES = (12, 7, 32, 48, 96, 224)
"""What to try for sizes that the model leaves open; a network with five halvings takes no image of 12."""

USUAL = ("typical", "data")
"""Kinds of cases that are like what people send."""

_EDGES = {"normal": 8, "zeros": 2, "ones": 2, "constant": 8, "large": 8, "tiny": 2, "denormal": 1}
"""Kinds of cases, and their rows: where rows differ much, few say little of Keras' own error or a channel's size.
Denormal numbers take processors a hundred times as long."""

_LARGE, _TINY = 10.0, 1e-3
_DENORMAL = {"float16": 1e-6, "bfloat16": 1e-39, "float32": 1e-39, "float64": 1e-309}
"""Below the smallest normal number of each dtype."""

_SPLIT, _FIRST = 7, 3
"""The case whose rows also come in reverse, and in two parts."""

_FIXED_DRAWS = 5
"""How many typical cases a model gets whose batch is fixed."""

_DATA_ROWS = (7, 32)
_UNKNOWN_WORD, _UNKNOWN_INTEGER = b"kedge-unknown-word", 1_999_999_973
_GOLDEN_BYTES = 4 << 20
_GOLDEN_ROWS = 7
"""A start-up self-test is to be quick."""

_GOLDEN_KINDS = ("data", "typical", "zeros", "constant")
"""Not the extremes: another processor rounds them in another way, and a server must start there."""


@dataclass(frozen=True)
class Draw:
    """How values of one input are drawn.

    Attributes:
        stats: what training saw, where known.
        count: the number of valid indices, where the input is read as indices.
        words: values of a vocabulary, with one that is not in it where the model takes such.
    """

    spec: TensorSpec
    stats: InputStats | None = None
    count: int | None = None
    words: tuple[Any, ...] = ()

    def describe(self) -> str:
        """Where typical values come from, in a few words."""
        if self.words:
            return f"{len(self.words)} words of the vocabulary, known and unknown"
        if self.spec.dtype in ("string", "bool"):
            return "a few strings" if self.spec.dtype == "string" else "true and false"
        if self.count is not None:
            return f"the indices 0 to {self.count - 1}"
        if self.spec.numpy_dtype.kind in "iu":
            low, high = self._integer_range()
            return f"the integers {low} to {high}"
        if self.stats is None:
            return "normal, mean 0 and deviation 1: nothing is known of this input"
        where = f"{self.stats.source}{f' ({self.stats.layer})' if self.stats.layer else ''}"
        return f"{'uniform, the range' if self.stats.mean is None else 'normal, the statistics'} of {where}"

    def values(self, kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Draw an array of this shape, of the input's dtype."""
        dtype = self.spec.numpy_dtype
        if self.words:
            return np.array(self.words, dtype)[rng.integers(0, len(self.words), shape)]
        if self.spec.dtype == "string":
            return np.array([b"", b"a", _UNKNOWN_WORD], object)[rng.integers(0, 3, shape)]
        if self.spec.dtype == "bool":
            return np.full(shape, kind == "ones") if kind in ("zeros", "ones") else rng.integers(0, 2, shape) == 1
        if self.count is not None or dtype.kind in "iu":
            return self._integers(kind, shape, rng).astype(dtype)
        return self._floats(kind, shape, rng).astype(dtype)

    def _integers(self, kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        low, high = self._integer_range()
        if kind in ("zeros", "ones"):
            return np.full(shape, np.clip(0 if kind == "zeros" else 1, low, high))
        if kind == "large":
            return np.full(shape, high)
        return rng.integers(low, high, shape, endpoint=True)

    def _integer_range(self) -> tuple[int, int]:
        """The least and the largest value, both valid."""
        if self.count is not None:
            return 0, self.count - 1
        if self.spec.dtype == "uint8":
            return 0, 255
        if self.stats is not None and self.stats.min is not None and self.stats.max is not None:
            return int(min(self.stats.min)), int(max(self.stats.max))
        return 0, 9

    def _floats(self, kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
        if kind in ("zeros", "ones"):
            return np.zeros(shape) if kind == "zeros" else np.ones(shape)
        noise = rng.standard_normal(shape)
        if kind in ("normal", "denormal"):
            return noise if kind == "normal" else noise * _DENORMAL[self.spec.dtype]
        if self.stats is not None and self.stats.mean is None and kind == "typical":
            low, high = self._per_feature(self.stats.min, shape), self._per_feature(self.stats.max, shape)
            return low + (high - low) * rng.random(shape)
        mean, std = self._moments(shape)
        if kind == "constant":  # every row is one number, each row another
            return np.broadcast_to(mean + std * rng.standard_normal((shape[0],) + (1,) * (len(shape) - 1)), shape)
        if kind == "large":
            return mean + _LARGE * std * noise
        return _TINY * std * noise if kind == "tiny" else mean + std * noise

    def _moments(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and deviation to draw with; the standard normal ones where nothing is known."""
        stats = self.stats
        if stats is None:
            return np.zeros(()), np.ones(())
        if stats.mean is not None:
            return self._per_feature(stats.mean, shape), self._per_feature(stats.std, shape)
        low, high = self._per_feature(stats.min, shape), self._per_feature(stats.max, shape)
        return (low + high) / 2, (high - low) / np.sqrt(12)

    def _per_feature(self, values: tuple[float, ...] | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """One number per feature, shaped to broadcast against an input of this shape."""
        numbers = np.asarray(values, np.float64)
        axis = self.stats.axis if self.stats is not None else None
        if numbers.size == 1 or axis is None:
            return numbers.reshape(-1)[0]  # type: ignore[no-any-return]
        sizes = [1] * len(shape)
        sizes[axis] = numbers.size
        return numbers.reshape(sizes)


def draws(signature: Signature, readings: dict[str, list[Reading]], stats: tuple[InputStats, ...]) -> list[Draw]:
    """How to draw each input, from what is known of it."""
    by_input = {entry.input: entry for entry in stats}
    found = []
    for spec in signature.inputs:
        told = readings.get(spec.name, [])
        counts = [int(reading.numbers["count"]) for reading in told if reading.kind == "indices"]
        words = _words(told, spec.dtype)
        found.append(Draw(spec, by_input.get(spec.name), min(counts) if counts else None, words))
    return found


def make_cases(
    inputs: list[Draw], sizes: tuple[int, ...], data: Tensors | None, seed: int, fixed_batch: int | None
) -> list[Case]:
    """The cases of the proof, without answers.

    Args:
        inputs: how to draw each input.
        sizes: what to take for open sizes, in turn.
        data: the user's samples, already in the model's names, dtypes and shapes.
        seed: recorded in the manifest.
        fixed_batch: the rows that the model insists on; any when None.
    """
    knows = any(draw.stats is not None for draw in inputs)
    plan = [(f"typical-{rows}", rows) for rows in BATCHES]
    if fixed_batch is not None:
        plan = [(f"typical-{fixed_batch}-{number}", fixed_batch) for number in range(1, _FIXED_DRAWS + 1)]
    edges = {kind: rows for kind, rows in _EDGES.items() if kind != "normal" or knows}
    plan += [(f"{kind}-{fixed_batch or rows}", fixed_batch or rows) for kind, rows in edges.items()]
    cases = []
    for number, (name, rows) in enumerate(plan):
        rng = np.random.default_rng([seed, number])
        kind = name.partition("-")[0]
        cases.append(Case(name, one_case(inputs, kind, rows, sizes[number % len(sizes)], rng)))
    if data is not None:
        available = next(iter(data.values())).shape[0]
        wanted = sorted({min(rows, available) for rows in _DATA_ROWS}) if fixed_batch is None else [fixed_batch]
        # One row first: what a runtime sets up for its first run must not be what only several rows would hide.
        for place, rows in enumerate((rows for rows in wanted if rows <= available), start=1):
            picked = np.linspace(0, available - 1, rows).astype(int)
            cases.insert(place, Case(f"data-{rows}", {name: array[picked] for name, array in data.items()}))
    return cases


def regrouped(cases: list[Case]) -> list[Case]:
    """The rows of one answered case in reverse, and in two parts: neither order nor company may matter.

    Their answers are those of the whole case, moved with the rows. None where no case has the rows.
    """
    whole = next((case for case in cases if case.name == f"typical-{_SPLIT}"), None)
    sides = () if whole is None else (*whole.inputs.values(), *whole.outputs.values())
    if whole is None or any(array.ndim == 0 or array.shape[0] != _SPLIT for array in sides):
        return []
    parts = {
        "reversed": slice(None, None, -1),
        f"first-{_FIRST}": slice(None, _FIRST),
        f"last-{_SPLIT - _FIRST}": slice(_FIRST, None),
    }
    return [
        Case(
            f"{whole.name}-{part}",
            *({name: array[rows] for name, array in side.items()} for side in (whole.inputs, whole.outputs)),
        )
        for part, rows in parts.items()
    ]


def has_regrouped(cases: list[Case]) -> bool:
    """Whether Keras' answers of a row are known not to depend on the other rows."""
    return any(case.name == f"typical-{_SPLIT}-reversed" for case in cases)


def one_case(inputs: list[Draw], kind: str, rows: int, size: int, rng: np.random.Generator) -> Tensors:
    """Draw every input once, with `rows` rows, and with `size` for the sizes that the model leaves open."""
    return {
        draw.spec.name: draw.values(
            kind, (rows, *(size if open_size is None else open_size for open_size in draw.spec.shape[1:])), rng
        )
        for draw in inputs
    }


def has_open_sizes(signature: Signature) -> bool:
    """Whether any axis but the batch is of unknown size."""
    return any(size is None for spec in signature.inputs for size in spec.shape[1:])


def golden_cases(cases: list[Case]) -> list[Case]:
    """A few answered cases of mixed kinds for the self-test: a handful of rows, 4 MB at most beyond the first."""
    ranked = sorted(
        (case for case in cases if case.kind in _GOLDEN_KINDS),
        key=lambda case: (_rows(case) == 1, _GOLDEN_KINDS.index(case.kind), abs(_rows(case) - _GOLDEN_ROWS)),
    )
    smallest = min(cases, key=_bytes)
    chosen: list[Case] = []
    for case in ranked:
        if case.kind not in {taken.kind for taken in chosen} and _bytes(case) <= _GOLDEN_BYTES - sum(
            map(_bytes, chosen)
        ):
            chosen.append(case)
    return chosen or [smallest]


def _words(told: list[Reading], dtype: str) -> tuple[Any, ...]:
    """The values to draw for an input that is looked up: those of the strictest vocabulary, and one that is unknown."""
    vocabularies = sorted(
        (reading for reading in told if reading.kind == "vocabulary" and reading.words),
        key=lambda reading: reading.takes_unknown,
    )
    if not vocabularies:
        return ()
    unknown = _UNKNOWN_WORD if dtype == "string" else _UNKNOWN_INTEGER
    words = tuple(word.encode() if isinstance(word, str) else word for word in vocabularies[0].words)
    return (*words, unknown) if vocabularies[0].takes_unknown else words


def _rows(case: Case) -> int:
    return row_count(case.inputs)


def _bytes(case: Case) -> int:
    return sum(array.nbytes for array in (*case.inputs.values(), *case.outputs.values(), *case.reference.values()))
