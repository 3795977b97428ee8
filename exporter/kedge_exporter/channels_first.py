# ruff: noqa: ANN401 (Keras ships no types)
"""Convolutions whose channels come before height and width, on the CPU. Imports Keras and TensorFlow.

TensorFlow has no such convolution on the CPU. Keras moves the channels for pooling, depthwise and separable
convolutions there, but not for plain and transposed ones: a model that was trained on a GPU could not even be called.
"""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


def run_on_cpu() -> None:
    """Let this process convolve channels-first, by moving the channels to the end and back."""
    nn = keras.src.backend.nn
    for name in ("conv", "conv_transpose"):
        if not hasattr(getattr(nn, name), "moves_channels"):
            setattr(nn, name, _moving_channels(getattr(nn, name)))


def _moving_channels(convolve: Callable[..., Any]) -> Callable[..., Any]:
    """The same convolution, run channels-last whatever it is asked for."""
    signature = inspect.signature(convolve)

    def moved(*arguments: Any, **named: Any) -> Any:
        call = signature.bind(*arguments, **named)
        if (call.arguments.get("data_format") or keras.config.image_data_format()) == "channels_last":
            return convolve(*arguments, **named)
        call.arguments["inputs"] = _channels_to_end(call.arguments["inputs"])
        call.arguments["data_format"] = "channels_last"
        return _channels_to_front(convolve(*call.args, **call.kwargs))

    moved.moves_channels = True  # type: ignore[attr-defined]
    return moved


def _channels_to_end(tensor: Any) -> Any:
    """(rows, channels, ...) -> (rows, ..., channels)."""
    rank = len(tensor.shape)
    return tf.transpose(tensor, (0, *range(2, rank), 1))


def _channels_to_front(tensor: Any) -> Any:
    """(rows, ..., channels) -> (rows, channels, ...)."""
    rank = len(tensor.shape)
    return tf.transpose(tensor, (0, rank - 1, *range(1, rank - 1)))
