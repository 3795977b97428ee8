"""Complex numbers and Fourier transforms."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.exporter.formats.onnx_handlers.case import Case, normal


def parts(tf: object, value: object) -> tuple[object, object]:
    """A complex tensor as two real ones: the served protocols carry no other."""
    return tf.math.real(value), tf.math.imag(value)  # type: ignore[attr-defined]


PAIR = (normal(2, 3, 8), normal(2, 3, 8))

CASES = {
    "fft": Case(lambda tf, x, y: parts(tf, tf.signal.fft(tf.complex(x, y))), PAIR, tolerance=1e-4),
    "ifft": Case(lambda tf, x, y: parts(tf, tf.signal.ifft(tf.complex(x, y))), PAIR),
    "fft2d": Case(lambda tf, x, y: parts(tf, tf.signal.fft2d(tf.complex(x, y))), PAIR, tolerance=1e-4),
    "ifft2d": Case(lambda tf, x, y: parts(tf, tf.signal.ifft2d(tf.complex(x, y))), PAIR),
    "rfft": Case(lambda tf, x: parts(tf, tf.signal.rfft(x)), (normal(2, 8),), tolerance=1e-4),
    "rfft of an odd length": Case(lambda tf, x: parts(tf, tf.signal.rfft(x)), (normal(2, 7),), tolerance=1e-4),
    "rfft of an open length": Case(
        lambda tf, x: parts(tf, tf.signal.rfft(x)), (normal(2, 8),), ((None, None),), tolerance=1e-4
    ),
    "rfft, filled and cut": Case(
        lambda tf, x: (*parts(tf, tf.signal.rfft(x, [12])), *parts(tf, tf.signal.rfft(x, [5]))),
        (normal(2, 7),),
        tolerance=1e-4,
    ),
    "irfft": Case(lambda tf, x, y: tf.signal.irfft(tf.complex(x, y)), (normal(2, 5), normal(2, 5))),
    "irfft, odd, filled and cut": Case(
        lambda tf, x, y: (
            tf.signal.irfft(tf.complex(x, y), [7]),
            tf.signal.irfft(tf.complex(x, y), [12]),
            tf.signal.irfft(tf.complex(x, y), [4]),
        ),
        (normal(2, 5), normal(2, 5)),
    ),
    "magnitudes of a spectrogram": Case(
        lambda tf, x: tf.abs(tf.signal.stft(x, 8, 4)), (normal(2, 32),), tolerance=1e-4
    ),
    "there and back": Case(
        lambda tf, x: tf.signal.inverse_stft(tf.signal.stft(x, 8, 4), 8, 4), (normal(2, 32),), tolerance=1e-4
    ),
    "the conjugate": Case(lambda tf, x, y: parts(tf, tf.math.conj(tf.complex(x, y))), PAIR),
    "real numbers become complex": Case(
        lambda tf, x: parts(tf, tf.cast(x, tf.complex64)), (np.ones((2, 3), np.float32),)
    ),
    "other arithmetic": Case(
        lambda tf, x, y: tf.math.real(tf.complex(x, y) * tf.complex(y, x)),
        PAIR,
        refused=("Complex", "and Mul of those"),
    ),
    "before opset 17": Case(
        lambda tf, x: tf.math.real(tf.signal.rfft(x)),
        (normal(2, 8),),
        opset=16,
        refused=("RFFT", "needs opset 17; --opset 17"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_transforms_are_tensorflows(check: Callable[[str], None], name: str) -> None:
    check(name)
