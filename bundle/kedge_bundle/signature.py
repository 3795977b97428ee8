"""Names, dtypes and shapes of a model's tensors: the one contract that every format keeps.

The checks here know numpy arrays only; no wire type, no runtime.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Tensors = dict[str, NDArray[np.generic]]
"""The internal tensor type everywhere: arrays by the Keras model's own names. Strings are object arrays of bytes."""

DType = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "string",
]  # fmt: skip

_CHANNEL_COUNTS = (1, 3, 4)


@dataclass(frozen=True)
class Violation:
    """One way in which a request breaks the contract: which tensor, and a sentence for the caller."""

    field: str
    description: str


class TensorSpec(BaseModel):
    """One tensor of a signature.

    `shape` counts the batch axis; `None` is any size. A first axis of `None` is the batch.
    """

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1)
    dtype: DType
    shape: tuple[Annotated[int, Field(ge=0)] | None, ...]

    @property
    def numpy_dtype(self) -> np.dtype[np.generic]:
        """The dtype of the arrays that carry this tensor; object for strings."""
        return np.dtype(object) if self.dtype == "string" else np.dtype(self.dtype)

    def describe_shape(self) -> str:
        """The shape for people: `[batch, 28, 28, 1]`."""
        return describe_shape(self.shape, first="batch")

    def accepts_shape(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape fits, the batch axis included."""
        return len(shape) == len(self.shape) and all(
            want is None or want == got for want, got in zip(self.shape, shape, strict=True)
        )

    def violations(self, array: NDArray[np.generic]) -> list[Violation]:
        """Say how dtype, rank and shape of `array` differ from this spec; empty when they fit."""
        found: list[Violation] = []
        if array.dtype != self.numpy_dtype:
            found.append(
                Violation(self.name, f"input '{self.name}': expected dtype {self.dtype}, got {describe_dtype(array)}")
            )
        if not self.accepts_shape(array.shape):
            found.append(
                Violation(
                    self.name,
                    f"input '{self.name}': expected shape {self.describe_shape()}, "
                    f"got {describe_shape(array.shape)}{self._hint(array.shape)}",
                )
            )
        elif array.shape and array.shape[0] == 0:
            found.append(Violation(self.name, f"input '{self.name}': expected at least one row, got none"))
        return found

    def _hint(self, got: tuple[int, ...]) -> str:
        if self.accepts_shape((*got, 1)) or (
            len(got) == len(self.shape) - 1
            and self.shape[-1] in _CHANNEL_COUNTS
            and TensorSpec(name=self.name, dtype=self.dtype, shape=self.shape[:-1]).accepts_shape(got)
        ):
            return "; is the channel axis missing?"
        if self.accepts_shape((1, *got)):
            return "; is the batch axis missing?"
        image_rank = 4
        if len(got) == image_rank:
            if self.accepts_shape((got[0], got[2], got[3], got[1])):
                return "; are the channels first instead of last?"
            if self.accepts_shape((got[0], got[3], got[1], got[2])):
                return "; are the channels last instead of first?"
        return ""


class Signature(BaseModel):
    """The inputs and outputs of a model, in the Keras model's order."""

    model_config = ConfigDict(frozen=True)

    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Signature":
        for side in (self.inputs, self.outputs):
            names = [spec.name for spec in side]
            if len(set(names)) != len(names):
                raise ValueError(f"two tensors share a name: {sorted(names)}")
        return self

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Input names in the model's order."""
        return tuple(spec.name for spec in self.inputs)

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """Output names in the model's order."""
        return tuple(spec.name for spec in self.outputs)

    @property
    def fixed_batch(self) -> int | None:
        """The number of rows that the model itself insists on; None when any will do."""
        return self.inputs[0].shape[0] if self.inputs[0].shape else None

    def input_violations(self, inputs: Tensors) -> list[Violation]:
        """Say every way in which `inputs` breaks this signature: names, dtypes, shapes, row counts."""
        known = set(self.input_names)
        found = [
            Violation(
                name,
                f"input '{name}': the model has no such input; it has {', '.join(map(repr, self.input_names))}",
            )
            for name in inputs
            if name not in known
        ]
        for spec in self.inputs:
            if spec.name in inputs:
                found.extend(spec.violations(inputs[spec.name]))
            else:
                found.append(
                    Violation(
                        spec.name,
                        f"input '{spec.name}': missing; expected {spec.dtype} of shape {spec.describe_shape()}",
                    )
                )
        if not found:
            found.extend(self._row_violations(inputs))
        return found

    def _row_violations(self, inputs: Tensors) -> list[Violation]:
        counts = {name: inputs[name].shape[0] for name in self.input_names if inputs[name].shape}
        if len(set(counts.values())) <= 1:
            return []
        listing = ", ".join(f"'{name}' has {rows}" for name, rows in counts.items())
        return [Violation(name, f"the inputs differ in their number of rows: {listing}") for name in counts]


def row_count(tensors: Tensors) -> int:
    """The number of rows of tensors that have passed `Signature.input_violations`; 1 for scalars."""
    first = next(iter(tensors.values()))
    return first.shape[0] if first.shape else 1


def describe_shape(shape: tuple[int | None, ...], first: str = "?") -> str:
    """A shape for people; unknown axes read `?`, an unknown first axis reads `first`."""
    words = [str(size) if size is not None else (first if axis == 0 else "?") for axis, size in enumerate(shape)]
    return f"[{', '.join(words)}]"


def describe_dtype(array: NDArray[np.generic]) -> str:
    """The dtype in the words of a signature: object arrays carry strings."""
    return "string" if array.dtype == np.dtype(object) else str(array.dtype)
