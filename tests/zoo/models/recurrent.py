"""Recurrent layers: cells, wrappers, masks, variable length."""

from typing import Any

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import zoo

_FAMILY = "Recurrent"


@zoo(_FAMILY)
def lstm() -> Any:
    """LSTM of variable length; the last answer, every answer and the states."""
    steps = keras.Input((None, 3), name="steps")
    every, last, cell = layers.LSTM(4, return_sequences=True, return_state=True)(steps)
    return keras.Model(
        steps,
        {
            "every": every,
            "last": last,
            "cell": cell,
            "answer": layers.Dense(2)(layers.LSTM(5, dropout=0.3, recurrent_dropout=0.2)(steps)),
        },
    )


@zoo(_FAMILY, fast=False)
def gru() -> Any:
    """GRU with its reset gate before and after the product, and backwards."""
    steps = keras.Input((6, 3), name="steps")
    return keras.Model(
        steps,
        {
            "after": layers.GRU(4)(steps),
            "before": layers.GRU(4, reset_after=False)(steps),
            "backwards": layers.GRU(4, go_backwards=True, return_sequences=True)(steps),
        },
    )


@zoo(_FAMILY, fast=False)
def simple_rnn() -> Any:
    """SimpleRNN, rolled and unrolled."""
    steps = keras.Input((6, 3), name="steps")
    return keras.Model(
        steps, {"rolled": layers.SimpleRNN(4)(steps), "unrolled": layers.SimpleRNN(4, unroll=True)(steps)}
    )


@zoo(_FAMILY, fast=False)
def stacked_rnn() -> Any:
    """Three recurrent layers on top of each other, of variable length."""
    steps = keras.Input((None, 3), name="steps")
    x = layers.LSTM(6, return_sequences=True)(steps)
    x = layers.GRU(5, return_sequences=True)(layers.LayerNormalization()(x))
    return keras.Model(steps, layers.Dense(2, name="answer")(layers.SimpleRNN(4)(x)))


@zoo(_FAMILY, fast=False)
def bidirectional() -> Any:
    """Bidirectional in every way of merging."""
    steps = keras.Input((6, 3), name="steps")
    outputs = {
        mode: layers.Bidirectional(layers.LSTM(4, return_sequences=True), merge_mode=mode)(steps)
        for mode in ("concat", "sum", "mul", "ave")
    }
    forward, backward = layers.Bidirectional(layers.GRU(4), merge_mode=None)(steps)
    return keras.Model(steps, {**outputs, "forward": forward, "backward": backward})


@zoo(_FAMILY)
def bidirectional_variable_length() -> Any:
    """A tagger of variable length: embedding with a mask, bidirectional LSTM, an answer for each word."""
    words = keras.Input((None,), dtype="int32", name="words")
    x = layers.Embedding(30, 6, mask_zero=True)(words)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    return keras.Model(words, layers.TimeDistributed(layers.Dense(4), name="tags")(x))


@zoo(_FAMILY, fast=False)
def masked_rnn() -> Any:
    """Steps that a mask leaves out, in LSTM, GRU and SimpleRNN."""
    steps = keras.Input((6, 3), name="steps")
    masked = layers.Masking(0.0)(steps * keras.ops.cast(steps[:, :, :1] > -0.5, "float32"))
    return keras.Model(
        steps,
        {
            "lstm": layers.LSTM(4)(masked),
            "gru": layers.GRU(4, return_sequences=True)(masked),
            "simple_rnn": layers.SimpleRNN(4)(masked),
        },
    )


@zoo(_FAMILY, fast=False)
def rnn_cells() -> Any:
    """RNN around each cell, and around several stacked."""
    steps = keras.Input((5, 3), name="steps")
    cells = {"lstm_cell": layers.LSTMCell(4), "gru_cell": layers.GRUCell(4), "simple_rnn_cell": layers.SimpleRNNCell(4)}
    stacked = layers.RNN(layers.StackedRNNCells([layers.LSTMCell(4), layers.GRUCell(3)]))(steps)
    return keras.Model(
        steps, {**{name: layers.RNN(cell)(steps) for name, cell in cells.items()}, "stacked_cells": stacked}
    )


@zoo(_FAMILY, fast=False)
def encoder_decoder() -> Any:
    """An encoder whose states start the decoder."""
    source, target = keras.Input((5, 3), name="source"), keras.Input((4, 2), name="target")
    _, hidden, cell = layers.LSTM(4, return_state=True)(source)
    decoded = layers.LSTM(4, return_sequences=True)(target, initial_state=[hidden, cell])
    return keras.Model([source, target], layers.Dense(2, name="answer")(decoded))


@zoo(_FAMILY, fast=False)
def conv_lstm_1d() -> Any:
    """ConvLSTM1D."""
    steps = keras.Input((4, 8, 2), name="steps")
    return keras.Model(steps, layers.Dense(2, name="answer")(layers.Flatten()(layers.ConvLSTM1D(3, 3)(steps))))


@zoo(_FAMILY)
def conv_lstm_2d() -> Any:
    """ConvLSTM2D, every step and the last."""
    film = keras.Input((4, 8, 8, 2), name="film")
    x = layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(film)
    return keras.Model(film, layers.Dense(2, name="answer")(layers.Flatten()(layers.ConvLSTM2D(2, 3)(x))))


@zoo(_FAMILY, fast=False)
def conv_lstm_3d() -> Any:
    """ConvLSTM3D."""
    film = keras.Input((3, 4, 5, 6, 1), name="film")
    return keras.Model(film, layers.Dense(2, name="answer")(layers.Flatten()(layers.ConvLSTM3D(2, 2)(film))))


@zoo(_FAMILY, fast=False)
def time_distributed() -> Any:
    """A convolution and a Dense layer for each frame of a film."""
    film = keras.Input((4, 8, 8, 2), name="film")
    x = layers.TimeDistributed(layers.Conv2D(3, 3, activation="relu"))(film)
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D())(x)
    return keras.Model(film, layers.TimeDistributed(layers.Dense(2), name="answer")(x))
