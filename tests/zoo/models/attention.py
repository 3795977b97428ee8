"""Attention and what is built of it."""

from typing import Any

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import OWN_PARTS, zoo

_FAMILY = "Attention"


@zoo(_FAMILY)
def multi_head_attention() -> Any:
    """MultiHeadAttention: to itself, causal, across, over two axes, with its scores."""
    query, memory = keras.Input((5, 8), name="query"), keras.Input((7, 8), name="memory")
    grid = keras.Input((3, 4, 6), name="grid")
    across, scores = layers.MultiHeadAttention(2, 4)(query, memory, return_attention_scores=True)
    return keras.Model(
        [query, memory, grid],
        {
            "itself": layers.MultiHeadAttention(2, 4, dropout=0.1)(query, query),
            "causal": layers.MultiHeadAttention(2, 4)(query, query, use_causal_mask=True),
            "across": across,
            "scores": scores,
            "values": layers.MultiHeadAttention(2, 4, value_dim=3, output_shape=5)(query, memory),
            "two_axes": layers.MultiHeadAttention(2, 4, attention_axes=(1, 2))(grid, grid),
        },
    )


@zoo(_FAMILY)
def attention_of_variable_length() -> Any:
    """Masked self-attention over sentences of any length."""
    words = keras.Input((None,), dtype="int32", name="words")
    x = layers.Embedding(20, 8, mask_zero=True)(words)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    return keras.Model(words, layers.Dense(2, name="answer")(layers.GlobalAveragePooling1D()(x)))


@zoo(_FAMILY)
def group_query_attention() -> Any:
    """GroupQueryAttention: to itself, causal, across."""
    query, memory = keras.Input((5, 8), name="query"), keras.Input((7, 8), name="memory")
    return keras.Model(
        [query, memory],
        {
            "itself": layers.GroupQueryAttention(4, 4, 2)(query, query),
            "causal": layers.GroupQueryAttention(4, 4, 2)(query, query, use_causal_mask=True),
            "across": layers.GroupQueryAttention(4, 4, 1)(query, memory),
        },
    )


@zoo(_FAMILY, fast=False)
def dot_attention() -> Any:
    """Attention with dot and concat scores, scaled, causal, masked; AdditiveAttention."""
    query, memory = keras.Input((5, 8), name="query"), keras.Input((7, 8), name="memory")
    pair = [query, memory]
    return keras.Model(
        pair,
        {
            "dot": layers.Attention()(pair),
            "scaled": layers.Attention(use_scale=True)(pair),
            "concat": layers.Attention(score_mode="concat")(pair),
            "causal": layers.Attention()([query, query], use_causal_mask=True),
            "masked": layers.Attention()([query, layers.Masking(0.0)(memory)]),
            "additive": layers.AdditiveAttention()(pair),
        },
    )


@zoo(_FAMILY, fast=False)
def einsum_dense() -> Any:
    """EinsumDense: projections of several axes, with bias axes."""
    steps = keras.Input((5, 6), name="steps")
    return keras.Model(
        steps,
        {
            "heads": layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de")(steps),
            "last": layers.EinsumDense("...x,xy->...y", output_shape=4, activation="gelu")(steps),
            "both": layers.EinsumDense("abc,bcd->ad", output_shape=4, bias_axes="d")(steps),
        },
    )


@zoo(_FAMILY, fast=False, custom=OWN_PARTS)
def transformer() -> Any:
    """Two transformer blocks over indices."""
    from tests.zoo.own_parts import Positions  # noqa: PLC0415 (imports Keras)

    words = keras.Input((8,), dtype="int32", name="words")
    x = Positions()(layers.Embedding(40, 12)(words))
    for _ in range(2):
        x = _block(x)
    return keras.Model(words, layers.Dense(3, name="answer")(layers.GlobalAveragePooling1D()(x)))


@zoo(_FAMILY, custom=OWN_PARTS)
def vision_transformer() -> Any:
    """A small vision transformer: patches, positions, two blocks."""
    from tests.zoo.own_parts import Patches, Positions  # noqa: PLC0415

    image = keras.Input((16, 16, 3), name="image")
    x = Positions()(layers.Dense(12)(Patches(4)(image)))
    for _ in range(2):
        x = _block(x)
    return keras.Model(image, layers.Dense(5, name="kind")(layers.LayerNormalization()(x)[:, 0]))


def _block(x: Any) -> Any:
    """One block: attention, then a perceptron with gelu, each normalized and added."""
    normalized = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(3, 4, dropout=0.1)(normalized, normalized)])
    y = layers.Dense(24, activation="gelu")(layers.LayerNormalization()(x))
    return layers.Add()([x, layers.Dense(12)(layers.Dropout(0.1)(y))])
