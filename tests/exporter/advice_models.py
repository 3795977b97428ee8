"""Models that give reason for advice, and ordinary ones that do not: `python -m tests.exporter.advice_models DIR`.

Each is built, drawn as if it had been trained, saved, read and loaded as an export does, and judged: a JSON line each.
"""

import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from kedge_exporter import keras_model
from kedge_exporter.advice import advise
from kedge_exporter.advice_graph import Subject
from kedge_exporter.errors import ModelRefused
from kedge_exporter.inspect import inspect

OWN = Path(__file__)
"""What is registered here is the user's own."""

RNG = np.random.default_rng(0)
BINARY, CATEGORICAL, SPARSE = "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"


def trained(model: keras.Model) -> keras.Model:
    """Every weight drawn anew, variances positive: what training leaves behind."""
    for weight in model.weights:
        if "float" in weight.dtype and "count" not in weight.name:
            weight.assign(RNG.uniform(0.1, 1, weight.shape))
    return model


def ending(activation: str | None, loss: object, units: int = 3) -> keras.Model:
    """A classifier with one last activation, compiled with a loss."""
    values = keras.Input((4,), name="values")
    hidden = layers.Dense(5, activation="relu")(values)
    model = trained(keras.Model(values, layers.Dense(units, activation=activation, name="last")(hidden)))
    model.compile("sgd", loss=loss)
    return model


def through(*stack: layers.Layer, size: tuple[int, ...] = (4,), dtype: str = "float32") -> keras.Model:
    """A trained regression behind these layers."""
    values = keras.Input(size, name="values", dtype=dtype)
    x = values
    for layer in stack:
        x = layer(x)
    model = trained(keras.Model(values, layers.Dense(2, name="last")(layers.Flatten()(x))))
    model.compile("sgd", loss="mse")
    return model


def two_heads(loss: object, *, is_dict: bool = False) -> keras.Model:
    """`label` ends in sigmoid, `value` in nothing."""
    values = keras.Input((4,), name="values")
    label = layers.Dense(3, activation="sigmoid", name="label")(values)
    value = layers.Dense(1, name="value")(values)
    model = trained(keras.Model(values, {"kind": label, "size": value} if is_dict else [label, value]))
    model.compile("sgd", loss=loss)
    return model


def normalized(change: Callable[[Any], None] | None, **settings: Any) -> keras.Model:  # noqa: ANN401 (Keras' own)
    layer = layers.Normalization(name="normalize", **settings)
    values = keras.Input((4,), name="values")
    normal = layer(values)
    model = trained(keras.Model(values, layers.Dense(2)(normal)))
    if not settings:
        layer.adapt_mean.assign(np.zeros(4))
        layer.adapt_variance.assign(np.ones(4))
        layer.finalize_state()
    if change is not None:
        change(layer)
    return model


def adapt(data: Any) -> Callable[[Any], None]:  # noqa: ANN401
    return lambda layer: layer.adapt(np.asarray(data, np.float32))


def batch_normalized(unmoved: int) -> keras.Model:
    norms = [layers.BatchNormalization(name=f"norm_{i}") for i in range(3)]
    model = through(*norms)
    for norm in norms[:unmoved]:
        norm.moving_mean.assign(np.zeros(4))
        norm.moving_variance.assign(np.ones(4))
    return model


def untrained() -> keras.Model:
    """As it was built: ten batch normalizations, one piece of advice."""
    values = keras.Input((4,))
    x = values
    for _ in range(10):
        x = layers.BatchNormalization()(layers.Dense(4)(x))
    return keras.Model(values, layers.Dense(2)(x))


def unread(*, is_nested: bool) -> keras.Model:
    values, other = keras.Input((4,), name="values"), keras.Input((2,), name="other")
    if not is_nested:
        return trained(keras.Model([values, other], layers.Dense(2)(values)))
    left, right = keras.Input((4,)), keras.Input((2,))
    inner = keras.Model([left, right], layers.Dense(2)(left), name="nest")
    return trained(keras.Model([values, other], inner([values, other])))


def echoed() -> keras.Model:
    """An input that is an output is read."""
    key = keras.Input((3,), name="key")
    return trained(keras.Model(key, [key, layers.Dense(2)(key)]))


def mixed(dtype: str | None) -> keras.Model:
    values = keras.Input((4,), name="values")
    hidden = layers.Dense(5, dtype="mixed_float16")(values)
    return trained(keras.Model(values, layers.Dense(2, dtype=dtype or "mixed_float16", name="last")(hidden)))


def spoiled(value: float) -> keras.Model:
    model = ending("softmax", CATEGORICAL)
    kernel = model.get_layer("last").kernel.numpy()
    kernel[1, 2] = value
    model.get_layer("last").kernel.assign(kernel)
    return model


def stacked(*last: Any) -> keras.Model:  # noqa: ANN401
    """These after a Dense without activation, trained with categorical cross-entropy."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), *last])
    model.compile("sgd", loss=CATEGORICAL)
    return trained(model)


def nested_head(activation: str | None) -> keras.Model:
    head = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation=activation)], name="head")
    values = keras.Input((4,))
    model = trained(keras.Model(values, head(layers.Dense(4)(values))))
    model.compile("sgd", loss=SPARSE)
    return model


def own_loss(truth: Any, answer: Any) -> Any:  # noqa: ANN401
    return keras.ops.mean(keras.ops.square(truth - answer))


@keras.saving.register_keras_serializable("own", name="CategoricalCrossentropy")
class OwnLoss(keras.losses.Loss):
    """Called like a loss of Keras, and none of its."""

    def call(self, y_true: Any, y_pred: Any) -> Any:  # noqa: ANN401
        return own_loss(y_true, y_pred)


@keras.saving.register_keras_serializable("own")
def own_activation(x: Any) -> Any:  # noqa: ANN401
    return keras.activations.softmax(x)


def segmentation() -> keras.Model:
    """A mask per pixel: one channel, sigmoid."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(image))
    model = trained(keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x)))
    model.compile("sgd", loss=BINARY)
    return model


def application(*, is_scaled_before: bool) -> keras.Model:
    """A backbone that scales its input itself, as those of `keras.applications` do."""
    pixels, image = keras.Input((8, 8, 3)), keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3)(layers.Rescaling(1 / 127.5, offset=-1.0)(pixels))
    backbone = keras.Model(pixels, layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x)), name="backbone")
    scaled = layers.Rescaling(1 / 255, name="mine")(image) if is_scaled_before else image
    model = trained(keras.Model(image, layers.Dense(3, activation="softmax")(backbone(scaled))))
    model.compile("sgd", loss=SPARSE)
    return model


LOSSES = keras.losses
# The builder, and the codes that it must give: none or all of them, in order.
MODELS: dict[str, tuple[Callable[[], keras.Model], tuple[str, ...]]] = {
    "sigmoid, categorical": (lambda: ending("sigmoid", CATEGORICAL), ("loss-activation",)),
    "sigmoid, sparse, by function": (
        lambda: ending("sigmoid", LOSSES.sparse_categorical_crossentropy), ("loss-activation",),
    ),
    "linear, categorical, by class": (lambda: ending(None, LOSSES.CategoricalCrossentropy()), ("loss-activation",)),
    "tanh, binary": (lambda: ending("tanh", "bce", 1), ("loss-activation",)),
    "linear, divergence": (lambda: ending(None, LOSSES.KLDivergence()), ("loss-activation",)),
    "softmax, logits": (
        lambda: ending("softmax", LOSSES.CategoricalCrossentropy(from_logits=True)), ("loss-activation",),
    ),
    "sigmoid, logits": (
        lambda: ending("sigmoid", LOSSES.BinaryCrossentropy(from_logits=True), 1), ("loss-activation",),
    ),
    "softmax, binary": (lambda: ending("softmax", BINARY), ("loss-activation",)),
    "sigmoid, sparse, one unit": (lambda: ending("sigmoid", SPARSE, 1), ("loss-activation",)),
    "softmax, one unit": (lambda: ending("softmax", BINARY, 1), ("one-unit-softmax",)),
    "softmax, one unit, no loss": (lambda: ending("softmax", None, 1), ("one-unit-softmax",)),
    "two heads, dict": (lambda: two_heads({"label": CATEGORICAL, "value": "mse"}), ("loss-activation",)),
    "two heads, list": (lambda: two_heads([SPARSE, BINARY]), ("loss-activation", "loss-activation")),
    "two heads, keys": (
        lambda: two_heads({"kind": LOSSES.CategoricalCrossentropy(), "size": "mae"}, is_dict=True),
        ("loss-activation",),
    ),
    "softmax layer twice": (lambda: stacked(layers.Softmax(), layers.Activation("softmax")), ("activation-twice",)),
    "softmax op on top of sigmoid": (
        lambda: stacked(layers.Activation("sigmoid"), layers.Reshape((3, 1)), layers.Reshape((3,)), layers.Softmax()),
        ("activation-twice",),
    ),
    "head inside": (lambda: nested_head(None), ("loss-activation",)),
    "mixed to the end": (lambda: mixed(None), ("half-precision-output",)),
    "not adapted": (lambda: normalized(None), ("normalization-not-adapted",)),
    "zero variance": (
        lambda: normalized(adapt(np.pad(RNG.normal(size=(9, 2)), ((0, 0), (1, 1))))),
        ("normalization-zero-variance",),
    ),
    "unread": (lambda: unread(is_nested=False), ("unread-input",)),
    "unread inside": (lambda: unread(is_nested=True), ("unread-input",)),
    "scaled twice": (
        lambda: through(
            layers.Rescaling(1 / 255, name="a"), layers.Resizing(4, 4), layers.Rescaling(1 / 128), size=(8, 8, 3),
        ),
        ("scaled-twice",),
    ),
    "scaled by the application too": (lambda: application(is_scaled_before=True), ("scaled-twice",)),
    "untrained": (untrained, ("untrained",)),
    "unmoved": (lambda: batch_normalized(2), ("batch-norm-unmoved",)),
    "drops everything": (lambda: through(layers.Dropout(1.0)), ("drops-everything",)),
    "augmented": (
        lambda: through(layers.RandomFlip(), layers.RandomRotation(0.1), size=(8, 8, 3)), ("augmentation-inside",),
    ),
    "nan": (lambda: spoiled(np.nan), ("refused",)),
    "infinity": (lambda: spoiled(-np.inf), ("refused",)),
    # Ordinary models, which give no reason for advice.
    "softmax, sparse": (lambda: ending("softmax", SPARSE), ()),
    "softmax, categorical, by class": (
        lambda: ending("softmax", LOSSES.CategoricalCrossentropy(label_smoothing=0.1)), (),
    ),
    "sigmoid, binary": (lambda: ending("sigmoid", BINARY, 1), ()),
    "sigmoid, binary, several labels": (lambda: ending("sigmoid", LOSSES.BinaryFocalCrossentropy()), ()),
    "linear, logits": (lambda: ending(None, LOSSES.SparseCategoricalCrossentropy(from_logits=True)), ()),
    "linear, regression": (lambda: ending(None, "mse", 1), ()),
    "softmax, divergence": (lambda: ending("softmax", "kld"), ()),
    "softplus, categorical": (lambda: ending("softplus", CATEGORICAL), ()),
    "sigmoid, regression": (lambda: ending("sigmoid", "mae", 1), ()),
    "linear, a loss of one's own": (lambda: ending(None, own_loss), ()),
    "linear, a loss with a borrowed name": (lambda: ending(None, OwnLoss()), ()),
    "an activation of one's own": (lambda: ending(own_activation, CATEGORICAL), ()),
    "never compiled": (lambda: ending(None, None), ()),
    "two heads that fit": (lambda: two_heads({"label": BINARY, "value": "mse"}), ()),
    "a head without a loss": (lambda: two_heads({"label": None, "value": "mse"}), ()),
    "softmax layer": (lambda: stacked(layers.Softmax()), ()),
    "softmax after batch normalization": (
        lambda: stacked(layers.BatchNormalization(), layers.Activation("softmax")), (),
    ),
    "head inside that fits": (lambda: nested_head("softmax"), ()),
    "mask per pixel": (segmentation, ()),
    "float32 at the end": (lambda: mixed("float32"), ()),
    "adapted": (lambda: normalized(adapt(RNG.normal(3, 2, (9, 4)))), ()),
    "given": (lambda: normalized(None, mean=[0.0] * 4, variance=[1.0] * 4), ()),
    "echo": (echoed, ()),
    "all moved": (lambda: batch_normalized(0), ()),
    "dropout": (lambda: through(layers.Dropout(0.5), layers.Rescaling(1 / 255), layers.Rescaling(2.0)), ()),
    "application": (lambda: application(is_scaled_before=False), ()),
}  # fmt: skip


def main(directory: Path) -> None:
    gc.freeze()  # clearing a session collects garbage, which takes long over all of TensorFlow
    for number, (name, (build, expected)) in enumerate(MODELS.items()):
        keras.utils.clear_session()
        path = directory / f"{number}.keras"
        build().save(path)
        contents = inspect(path, has_custom=True)
        outcome: dict[str, object] = {"name": name, "expected": expected}
        try:
            found = advise(Subject(contents, keras_model.load(contents, OWN, None)), is_strict=False)
            outcome["advice"] = [advice.model_dump() for advice in found]
        except ModelRefused as error:
            outcome["error"] = str(error)
        print(json.dumps(outcome), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
