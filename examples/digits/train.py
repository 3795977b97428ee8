"""Train a small convolutional network on the handwritten digits that ship inside scikit-learn.

Usage: python -m examples.digits.train OUTPUT_DIRECTORY

Writes `digits.keras` (the best epoch, by ModelCheckpoint) and `digits_test.npz`: the test images `pixels`
(360, 8, 8, 1) with values 0 to 16, their `labels`, and what Keras answers to them, `expected` (360, 10).
Everything is seeded; nothing is downloaded.
"""

import argparse
import os
import sys
from pathlib import Path

SEED = 7


def main() -> int:
    """Train, save the best epoch, and write the test split beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    # Set before Keras is imported: which backend it takes, and how much TensorFlow talks.
    os.environ.update({"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"})
    accuracy, epochs = train(options.output, options.epochs)
    print(f"trained digits.keras: {epochs} epochs, {accuracy:.1%} of the test images right in Keras")
    return 0


def train(output: Path, epochs: int) -> tuple[float, int]:
    """Train and save; return the test accuracy in Keras and the number of epochs that ran."""
    import keras
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    keras.utils.set_random_seed(SEED)
    digits = load_digits()
    pixels = digits.images[..., np.newaxis].astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(
        pixels, digits.target, test_size=0.2, random_state=SEED, stratify=digits.target
    )
    normalization = keras.layers.Normalization(name="normalization")
    normalization.adapt(x_train)
    inputs = keras.Input((8, 8, 1), name="pixels")
    x = normalization(inputs)
    x = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(0.3)(x)
    digit = keras.layers.Dense(10, activation="softmax", name="digit")(x)
    model = keras.Model(inputs, digit, name="digits")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    path = output / "digits.keras"
    history = model.fit(
        x_train,
        y_train,
        validation_split=0.15,
        epochs=epochs,
        batch_size=32,
        verbose=0,
        callbacks=[
            keras.callbacks.EarlyStopping(patience=4),
            keras.callbacks.ModelCheckpoint(path, save_best_only=True),
        ],
    )
    best = keras.models.load_model(path)
    expected = best.predict(x_test, verbose=0)
    np.savez(output / "digits_test.npz", pixels=x_test, labels=y_test, expected=expected)
    return float((expected.argmax(axis=1) == y_test).mean()), len(history.history["loss"])


if __name__ == "__main__":
    sys.exit(main())
