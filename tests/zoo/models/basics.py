"""How models are put together: Sequential, Functional, subclassed; inputs and outputs of every structure."""

from typing import Any

import numpy as np

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import OWN_PARTS, rng, zoo

_FAMILY = "Basics"


@zoo(_FAMILY)
def dense() -> Any:
    """A Sequential of Dense, BatchNormalization and Dropout."""
    return keras.Sequential(
        [
            keras.Input((6,), name="features"),
            layers.Dense(16, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(4, activation="softmax", name="kind"),
        ]
    )


@zoo(_FAMILY)
def deferred() -> Any:
    """A Sequential without an Input, known from its first call."""
    model = keras.Sequential([layers.Dense(3, activation="relu"), layers.Dense(2, name="answer")])
    model(np.zeros((2, 5), np.float32))
    return model


@zoo(_FAMILY)
def multi_output() -> Any:
    """Three outputs of different shapes and dtypes."""
    features = keras.Input((8,), name="features")
    x = layers.Dense(16, activation="relu")(features)
    place = layers.Dense(2, name="place")(x)
    kind = layers.Dense(5, activation="softmax", name="kind")(x)
    return keras.Model(features, [place, kind, keras.ops.argmax(kind, axis=-1)])


@zoo(_FAMILY)
def multi_input() -> Any:
    """A table, a sequence of indices and an image together."""
    table, image = keras.Input((5,), name="table"), keras.Input((8, 8, 3), name="image")
    words = keras.Input((6,), dtype="int32", name="words")
    joined = layers.Concatenate()(
        [
            layers.Dense(4)(table),
            layers.GlobalAveragePooling1D()(layers.Embedding(30, 4)(words)),
            layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3)(image)),
        ]
    )
    return keras.Model([table, words, image], layers.Dense(3, name="answer")(joined))


@zoo(_FAMILY)
def dict_in_dict_out() -> Any:
    """Dicts whose order is not the alphabet's, with a space in a key."""
    zeta, alpha = keras.Input((4,), name="zeta"), keras.Input((3,), name="alpha")
    joined = layers.Concatenate()([zeta, alpha])
    return keras.Model(
        {"zeta": zeta, "alpha": alpha}, {"z out": layers.Dense(2)(joined), "a": layers.Dense(3, "tanh")(joined)}
    )


@zoo(_FAMILY)
def nested_structures() -> Any:
    """Lists inside a dict, in and out."""
    left, right, other = (keras.Input((3,), name=name) for name in ("left", "right", "other"))
    return keras.Model(
        {"pair": [left, right], "other": other},
        {"sums": [layers.Add()([left, right]), layers.Add()([right, other])], "dense": layers.Dense(2)(other)},
    )


@zoo(_FAMILY, fast=False)
def nested_models() -> Any:
    """A model in a model in a model, one of them called twice."""
    core = keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="silu")], name="core")
    inner_in = keras.Input((4,))
    inner = keras.Model(inner_in, layers.BatchNormalization()(core(core(inner_in))), name="inner")
    values = keras.Input((4,), name="values")
    return keras.Model(values, layers.Dense(2, name="answer")(inner(values)))


@zoo(_FAMILY)
def siamese() -> Any:
    """Two inputs through the same layers, and the distance between them."""
    left, right = keras.Input((10, 10, 1), name="left"), keras.Input((10, 10, 1), name="right")
    tower = keras.Sequential([layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(6)], name="tower")
    distance = keras.ops.sqrt(keras.ops.sum(keras.ops.square(tower(left) - tower(right)), axis=-1, keepdims=True))
    return keras.Model([left, right], layers.Dense(1, activation="sigmoid", name="same")(distance))


@zoo(_FAMILY, fast=False)
def residual() -> Any:
    """Convolution blocks with skip connections."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(6, 3, padding="same")(image)
    for _ in range(2):
        y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same", use_bias=False)(x)))
        x = layers.Add()([x, layers.Conv2D(6, 3, padding="same")(y)])
    return keras.Model(image, layers.Dense(3, name="kind")(layers.GlobalAveragePooling2D()(x)))


@zoo(_FAMILY, fast=False)
def branching() -> Any:
    """Branches of different depth that meet again, one tensor read by many."""
    image = keras.Input((12, 12, 3), name="image")
    branches = [layers.Conv2D(3, size, padding="same", activation="relu")(image) for size in (1, 3, 5)]
    branches.append(layers.Conv2D(2, 1)(layers.MaxPooling2D(3, 1, padding="same")(image)))
    joined = layers.Concatenate()(branches)
    gate = layers.Dense(11, activation="sigmoid")(layers.GlobalAveragePooling2D()(joined))
    gated = layers.Multiply()([joined, layers.Reshape((1, 1, 11))(gate)])
    return keras.Model(image, layers.Dense(2, name="answer")(layers.Flatten()(gated)))


@zoo(_FAMILY)
def merging() -> Any:
    """Every layer that merges several tensors into one."""
    left, right = keras.Input((4, 6), name="left"), keras.Input((4, 6), name="right")
    pair = [left, right]
    return keras.Model(
        pair,
        {
            "add": layers.Add()(pair),
            "subtract": layers.Subtract()(pair),
            "multiply": layers.Multiply()(pair),
            "average": layers.Average()(pair),
            "maximum": layers.Maximum()(pair),
            "minimum": layers.Minimum()(pair),
            "concatenate": layers.Concatenate(axis=1)(pair),
            "dot": layers.Dot(axes=2)(pair),
            "dot_normalized": layers.Dot(axes=(1, 1), normalize=True)(pair),
        },
    )


@zoo(_FAMILY)
def reshaping() -> Any:
    """Every layer that only moves values about."""
    values = keras.Input((4, 6), name="values")
    return keras.Model(
        values,
        {
            "reshape": layers.Reshape((2, -1, 3))(values),
            "flatten": layers.Flatten()(values),
            "permute": layers.Permute((2, 1))(values),
            "repeat_vector": layers.RepeatVector(3)(layers.Flatten()(values)),
            "identity": layers.Identity()(values),
            "activation": layers.Activation("tanh")(values),
            "activity_regularization": layers.ActivityRegularization(0.1)(values),
        },
    )


@zoo(_FAMILY, fast=False)
def input_as_output() -> Any:
    """An input that is an output as well, under the same name."""
    key = keras.Input((3,), name="key")
    return keras.Model(key, [key, layers.Dense(2, name="answer")(key)])


@zoo(_FAMILY, fast=False)
def fixed_batch() -> Any:
    """A batch that the model itself fixes to four rows."""
    values = keras.Input((3,), batch_size=4, name="values")
    return keras.Model(values, layers.Dense(2, name="answer")(values))


@zoo(_FAMILY)
def names_with_spaces() -> Any:
    """Layers, inputs and outputs with spaces and other signs in their names."""
    values = keras.Input((3,), name="my values (raw)")
    x = layers.Dense(4, name="first layer: Dense (4)", activation="relu")(values)
    return keras.Model(values, layers.Dense(2, name="the answer, 100%")(x), name="a model of mine")


@zoo(_FAMILY, fast=False, custom=OWN_PARTS)
def own_activation() -> Any:
    """A registered function as an activation."""
    from tests.zoo.own_parts import swoosh  # noqa: PLC0415 (imports Keras)

    return keras.Sequential([keras.Input((5,)), layers.Dense(6, activation=swoosh), layers.Dense(2, name="answer")])


@zoo(_FAMILY, fast=False, custom=OWN_PARTS)
def own_layer() -> Any:
    """A subclassed layer that is registered as serializable."""
    from tests.zoo.own_parts import Gate  # noqa: PLC0415

    values = keras.Input((5,), name="values")
    return keras.Model(values, layers.Dense(2, name="answer")(Gate(power=3)(values)))


@zoo(_FAMILY, fast=False, custom=OWN_PARTS)
def own_model() -> Any:
    """A subclassed model."""
    from tests.zoo.own_parts import Perceptron  # noqa: PLC0415

    return _called(Perceptron(), rng().normal(size=(4, 5)).astype(np.float32))


@zoo(_FAMILY, custom=OWN_PARTS)
def own_model_dicts() -> Any:
    """A subclassed model with a dict in and a dict out."""
    from tests.zoo.own_parts import TwoSides  # noqa: PLC0415

    return _called(TwoSides(), {"left": np.zeros((2, 3), np.float32), "right": np.zeros((2, 4), np.float32)})


@zoo(_FAMILY, custom=OWN_PARTS, samples=lambda: {"tokens": rng().integers(0, 20, (9, 7), np.int32)})
def own_model_recurrent() -> Any:
    """A subclassed recurrent model that takes indices."""
    from tests.zoo.own_parts import Tagger  # noqa: PLC0415

    return _called(Tagger(), np.zeros((2, 7), np.int32))


def _called(model: Any, data: Any) -> Any:
    """A subclassed model is called once before it is saved: its file then records the shapes."""
    model(data)
    return model
