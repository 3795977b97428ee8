"""A user's module: classes and functions that models of the zoo need. Given to the export with `--custom`."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("zoo")
def swoosh(x: Any) -> Any:
    """An activation of one's own."""
    return x * ops.sigmoid(1.7 * x) - 0.1 * ops.tanh(x)


@keras.saving.register_keras_serializable("zoo")
class Gate(layers.Layer):
    """A registered layer with weights, a setting and a nested layer."""

    def __init__(self, power: int = 2, **settings: Any) -> None:
        super().__init__(**settings)
        self.power = power
        self.inner = layers.Dense(4, activation="tanh")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.inner.build(input_shape)
        self.scale = self.add_weight(shape=(4,), initializer="ones", name="scale")

    def call(self, inputs: Any) -> Any:
        return ops.power(ops.abs(self.inner(inputs)), self.power) * self.scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": self.power}


@keras.saving.register_keras_serializable("zoo")
class Patches(layers.Layer):
    """Cuts images into a sequence of patches."""

    def __init__(self, size: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.size = size

    def call(self, images: Any) -> Any:
        height, width, channels = images.shape[1:]
        rows, columns = height // self.size, width // self.size
        cut = ops.reshape(images, (-1, rows, self.size, columns, self.size, channels))
        return ops.reshape(ops.transpose(cut, (0, 1, 3, 2, 4, 5)), (-1, rows * columns, self.size**2 * channels))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("zoo")
class Positions(layers.Layer):
    """Adds a learned vector to each place of a sequence."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.table = self.add_weight(shape=input_shape[1:], initializer="random_normal", name="table")

    def call(self, inputs: Any) -> Any:
        return inputs + self.table


@keras.saving.register_keras_serializable("zoo")
class Perceptron(keras.Model):
    """A subclassed model."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.hidden = layers.Dense(6, activation=swoosh)
        self.normalize = layers.BatchNormalization()
        self.dropout = layers.Dropout(0.5)
        self.answer = layers.Dense(3)

    def call(self, inputs: Any, *, training: bool = False) -> Any:
        x = self.normalize(self.hidden(inputs), training=training)
        return self.answer(self.dropout(x, training=training))


@keras.saving.register_keras_serializable("zoo")
class TwoSides(keras.Model):
    """A subclassed model that takes a dict and gives a dict, a loop in its call."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.left = layers.Dense(4, activation="relu")
        self.right = layers.Dense(4, activation="relu")
        self.blocks = [layers.Dense(4, activation="gelu") for _ in range(3)]

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        x = self.left(inputs["left"]) + self.right(inputs["right"])
        for block in self.blocks:
            x = x + block(x)
        return {"sum": ops.sum(x, axis=-1, keepdims=True), "all": x}


@keras.saving.register_keras_serializable("zoo")
class Tagger(keras.Model):
    """A subclassed recurrent model over indices of variable length."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.embedding = layers.Embedding(20, 6)
        self.encoder = layers.Bidirectional(layers.GRU(4, return_sequences=True))
        self.tag = layers.Dense(5)

    def call(self, tokens: Any) -> Any:
        return self.tag(self.encoder(self.embedding(tokens)))
