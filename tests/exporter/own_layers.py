# ruff: noqa: ANN401 (Keras ships no types)
"""A user's module: the classes of the subclassed test models. Given to `export-model` with `--custom`."""

from typing import Any

import keras
from keras import layers


@keras.saving.register_keras_serializable("own")
class Scale(layers.Layer):
    """Multiplies every feature by a weight of its own."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="random_normal", name="factor")

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


@keras.saving.register_keras_serializable("own")
class OneRowGraph(layers.Layer):
    """Answers any number of rows when called, but takes an unknown number for one when it is traced."""

    def call(self, inputs: Any) -> Any:
        rows = inputs.shape[0] or 1
        return inputs + keras.ops.reshape(inputs, (rows, inputs.shape[1]))


@keras.saving.register_keras_serializable("own")
class Scorer(keras.Model):
    """One input without a name, a dict of outputs, dropout that must stay quiet."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.hidden = layers.Dense(4, activation="relu")
        self.scale = Scale()
        self.dropout = layers.Dropout(0.5)

    def call(self, inputs: Any, *, training: bool = False) -> dict[str, Any]:
        scored = self.dropout(self.scale(self.hidden(inputs)), training=training)
        return {"score": scored, "total": keras.ops.sum(scored, axis=-1)}


@keras.saving.register_keras_serializable("own")
class Pair(keras.Model):
    """A list of inputs, a tuple of outputs; neither has names."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.left, self.right = layers.Dense(3), layers.Dense(2)

    def call(self, inputs: list[Any]) -> tuple[Any, Any]:
        return self.left(inputs[0]), self.right(inputs[1])


@keras.saving.register_keras_serializable("own")
class Captioner(keras.Model):
    """Inputs by keyword, one of them indices of an embedding."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.embedding, self.dense = layers.Embedding(11, 4), layers.Dense(4)

    def build(self, image_shape: tuple[int | None, ...], tokens_shape: tuple[int | None, ...]) -> None:
        self.embedding.build(tokens_shape)
        self.dense.build(image_shape)
        self.built = True

    def call(self, image: Any, tokens: Any) -> Any:
        return self.dense(image) + keras.ops.mean(self.embedding(tokens), axis=1)
