# ruff: noqa: ANN401 (Keras ships no types)
"""What Keras 3.15 gets wrong where a model is traced on the CPU, mended for this process. Imports Keras and TensorFlow.

- TensorFlow has no channels-first convolution on the CPU. Keras moves the channels for pooling, depthwise and separable
  convolutions there, but not for plain and transposed ones: a model from a GPU could not even be called.
- TensorFlow has no dilated transposed convolution on the CPU either, unless oneDNN answers, and TFLite has none at all.
- `TimeDistributed` over an unknown number of steps takes the number of rows for it, and answers so many steps.
- TensorFlow's scopes take few characters, but a layer may be called anything.
- `keras.ops.image.resize` asks whether its size is positive, which a size that is known only at run time cannot answer.
- `keras.ops.repeat` (nearest upsampling) computes its shape in the graph. The TFLite converter loses it where a part is
  open, and after a few of them in a row: convolutions behind it, in a U-Net, had no channels or one row at a time.
"""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kedge_exporter.naming import scope_name


def mend() -> None:
    """Put right what is wrong; once, however often it is called."""
    nn = keras.src.backend.nn
    for holder, name, mended in (
        (nn, "conv", _moving_channels),
        (nn, "conv_transpose", _moving_channels_undilated),
        (keras.src.backend.numpy, "repeat", _keeping_sizes),
        (keras.layers.TimeDistributed, "call", _folding_steps),
        (keras.src.backend.name_scope, "__init__", _taking_any_name),
        (keras.src.ops.image, "resize", _taking_open_sizes),  # where Keras' layers find it
        (keras.ops.image, "resize", _taking_open_sizes),  # where models do
    ):
        original = getattr(holder, name)
        if not hasattr(original, "is_mended"):
            setattr(holder, name, mended(original))
            getattr(holder, name).is_mended = True


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

    return moved


def _moving_channels_undilated(convolve: Callable[..., Any]) -> Callable[..., Any]:
    """The same transposed convolution, channels last, with zeros in its kernel for what a dilation leaves out."""
    moving = _moving_channels(convolve)
    signature = inspect.signature(convolve)

    def undilated(*arguments: Any, **named: Any) -> Any:
        call = signature.bind(*arguments, **named)
        rates = call.arguments.pop("dilation_rate", 1)
        kernel = tf.convert_to_tensor(call.arguments["kernel"])
        space = len(kernel.shape) - 2
        for axis, rate in enumerate((rates,) * space if isinstance(rates, int) else rates):
            kernel = _spread(kernel, axis, rate)
        call.arguments["kernel"] = kernel
        return moving(*call.args, **call.kwargs)

    return undilated


def _spread(kernel: Any, axis: int, rate: int) -> Any:
    """A kernel with `rate - 1` zeros between its entries along an axis."""
    if rate == 1:
        return kernel
    shape = kernel.shape.as_list()
    apart = tf.expand_dims(kernel, axis + 1)
    widths = [[0, rate - 1 if place == axis + 1 else 0] for place in range(len(shape) + 1)]
    shape[axis] *= rate
    spread = tf.reshape(tf.pad(apart, widths), shape)
    return tf.gather(spread, tf.range(shape[axis] - rate + 1), axis=axis)


def _keeping_sizes(repeat: Callable[..., Any]) -> Callable[..., Any]:
    """The same repetition, whose shape is known as far as that of `x` is; not computed when the graph runs."""

    def repeated(x: Any, repeats: Any, axis: int | None = None) -> Any:
        if not isinstance(repeats, int) or axis is None or not tf.is_symbolic_tensor(x) or x.shape.rank is None:
            return repeat(x, repeats, axis)
        length = x.shape[axis]
        if length is None:
            return tf.gather(x, tf.range(tf.shape(x)[axis] * repeats) // repeats, axis=axis)
        return tf.gather(x, np.repeat(np.arange(length, dtype=np.int32), repeats), axis=axis)

    return repeated


def _folding_steps(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call; an unknown number of steps is folded into the rows, since each step is on its own."""

    # Keras looks at the names of the arguments to see that the layer takes a mask and heeds training.
    def folded(self: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:  # noqa: FBT001
        if inputs.shape[1] is not None:
            return call(self, inputs, training=training, mask=mask)
        settings: dict[str, Any] = {}
        if self.layer._call_has_mask_arg and mask is not None:  # noqa: SLF001 (as Keras' own call does)
            settings["mask"] = _without_steps(mask)
        if self.layer._call_has_training_arg:  # noqa: SLF001
            settings["training"] = training
        answers = self.layer.call(_without_steps(inputs), **settings)
        return keras.ops.reshape(answers, (-1, keras.ops.shape(inputs)[1], *keras.ops.shape(answers)[1:]))

    return folded


def _taking_any_name(initialize: Callable[..., None]) -> Callable[..., None]:
    """The same scope, under a name that TensorFlow takes; the layer keeps its own."""

    def initialized(self: Any, name: str, **settings: Any) -> None:
        initialize(self, name, **settings)
        self._tf_name_scope = tf.name_scope(scope_name(name))

    return initialized


def _taking_open_sizes(resize: Callable[..., Any]) -> Callable[..., Any]:
    """The same resizing; a size that only the run knows is not looked at."""

    def resized(images: Any, size: Any, *arguments: Any, **settings: Any) -> Any:
        if any(tf.is_symbolic_tensor(length) for length in size):
            return keras.src.ops.image._resize(images, size, *arguments, **settings)  # noqa: SLF001 (less that look)
        return resize(images, size, *arguments, **settings)

    return resized


def _without_steps(tensor: Any) -> Any:
    """(rows, steps, ...) -> (rows * steps, ...)."""
    return keras.ops.reshape(tensor, (-1, *keras.ops.shape(tensor)[2:]))


def _channels_to_end(tensor: Any) -> Any:
    """(rows, channels, ...) -> (rows, ..., channels)."""
    rank = len(tensor.shape)
    return tf.transpose(tensor, (0, *range(2, rank), 1))


def _channels_to_front(tensor: Any) -> Any:
    """(rows, ..., channels) -> (rows, channels, ...)."""
    rank = len(tensor.shape)
    return tf.transpose(tensor, (0, rank - 1, *range(1, rank - 1)))
