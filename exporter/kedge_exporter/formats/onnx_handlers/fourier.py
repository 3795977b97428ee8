"""Complex numbers and Fourier transforms.

ONNX keeps a complex number as two floats along a last axis; it has `DFT` since opset 17.
"""

import numpy as np
from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import Handler, NoOnnxForm, Rewriting

_OPSET = 17
_FLOATS: dict[int, int] = {TensorProto.COMPLEX64: TensorProto.FLOAT, TensorProto.COMPLEX128: TensorProto.DOUBLE}
_KNOWN = {
    "Complex", "Real", "Imag", "Conj", "ComplexAbs", "Identity",
    "Pad", "FFT", "FFT2D", "IFFT", "IFFT2D", "RFFT", "IRFFT",
}  # fmt: skip
"""What may read a complex tensor: everything else would take its last axis for data."""
_LAST = -2
"""The last axis of a complex tensor, in front of the pair."""


def make_complex(new: Rewriting) -> str:
    """`Complex(real, imaginary)`."""
    _check_readers(new)
    return new.add("Concat", *(new.add("Unsqueeze", part, _axes(new, -1)) for part in new.inputs), axis=-1)


def cast(new: Rewriting) -> str | None:
    """`Cast` of a real tensor to complex numbers; all else is left to tf2onnx."""
    wanted = new.dtype(new.node.output[0])
    if wanted not in _FLOATS:
        return None
    _check_readers(new)
    real = new.cast(new.inputs[0], _FLOATS[wanted])
    return new.add(
        "Concat", *(new.add("Unsqueeze", part, _axes(new, -1)) for part in (real, new.add("Sub", real, real))), axis=-1
    )


def pad(new: Rewriting) -> str | None:
    """`Pad` of complex numbers, with zeros; all else is left to tf2onnx."""
    if new.dtype(new.node.output[0]) not in _FLOATS:
        return None
    _check_readers(new)
    widths = np.concatenate([new.value(1, "the padding"), [[0, 0]]])
    return new.add("Pad", new.inputs[0], new.constant(widths.T.ravel(), "int64"))


def part_of(position: int) -> Handler:
    """The handler of `Real` (0) or `Imag` (1)."""

    def part(new: Rewriting) -> str:
        return _part(new, new.inputs[0], position)

    return part


def absolute(new: Rewriting) -> str:
    """`ComplexAbs`."""
    (pairs,) = new.inputs
    squares = new.add("ReduceSum", new.add("Mul", pairs, pairs), _axes(new, -1), keepdims=0)
    return new.add("Sqrt", squares)


def conjugate(new: Rewriting) -> str:
    """`Conj`."""
    _check_readers(new)
    return _conjugate(new, new.inputs[0])


def transform(axes: int, *, is_inverse: bool) -> Handler:
    """The handler of `FFT` and `IFFT` (one axis), `FFT2D` and `IFFT2D` (two)."""

    def fft(new: Rewriting) -> str:
        new.need_opset(_OPSET)
        _check_readers(new)
        found = new.inputs[0]
        for axis in range(axes):
            found = new.add("DFT", found, axis=_last(new) - axis, inverse=int(is_inverse))
        return found

    return fft


def rfft(new: Rewriting) -> str:
    """`RFFT(x, length)`: x is cut, or filled with zeros, to the length; half of the spectrum comes out."""
    new.need_opset(_OPSET)
    _check_readers(new)
    x, length = new.inputs
    pairs = new.add("Unsqueeze", x, _axes(new, -1))
    return new.add("DFT", pairs, _scalar(new, length), axis=new.rank(x) - 1, onesided=1)


def irfft(new: Rewriting) -> str:
    """`IRFFT(x, length)` of a constant length: the other half of the spectrum is the conjugate, in reverse."""
    new.need_opset(_OPSET)
    x = new.inputs[0]
    length = int(new.value(1, "the length").ravel()[0])
    half = length // 2 + 1
    axis = new.constant([_LAST], "int64")
    x = _filled(new, x, half)
    # From the last but one (or the last, for an odd length) down to the second.
    first, stop = new.constant([(length - 1) // 2], "int64"), new.constant([0], "int64")
    mirrored = new.add("Slice", x, first, stop, axis, new.constant([-1], "int64"))
    whole = new.add("Concat", x, _conjugate(new, mirrored), axis=_LAST)
    return _part(new, new.add("DFT", whole, axis=_last(new), inverse=1), 0)


def _filled(new: Rewriting, x: str, length: int) -> str:
    """The first `length` entries of the last axis, with zeros where it has fewer."""
    rank = new.rank(new.inputs[0])
    pads = [0] * (2 * rank)
    pads[rank + _last(new)] = length
    padded = new.add("Pad", x, new.constant(pads, "int64"))
    return new.add("Slice", padded, new.constant([0], "int64"), new.constant([length], "int64"), _axes(new, _LAST))


def _last(new: Rewriting) -> int:
    """The last axis of the complex input."""
    return new.rank(new.inputs[0]) + _LAST


def _part(new: Rewriting, pairs: str, position: int) -> str:
    return new.add("Gather", pairs, new.constant(position, "int64"), axis=-1)


def _conjugate(new: Rewriting, pairs: str) -> str:
    return new.add("Mul", pairs, new.like([1, -1], new.inputs[0]))


def _axes(new: Rewriting, *axes: int) -> str:
    return new.constant(axes, "int64")


def _scalar(new: Rewriting, length: str) -> str:
    return new.add("Squeeze", new.cast(length, TensorProto.INT64), _axes(new, 0))


def _check_readers(new: Rewriting) -> None:
    others = sorted({reader.type for reader in new.readers()} - _KNOWN)
    if others:
        raise NoOnnxForm(
            f"makes complex numbers, and {', '.join(others)} of those has no form in ONNX",
            "compute with the real and the imaginary part",
        )
