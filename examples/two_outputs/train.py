"""Train a model of one input and two outputs on the handwritten digits that ship inside scikit-learn.

Usage: python -m examples.two_outputs.train two_outputs.keras

The input `pixel_input` holds 784 pixels; a shared layer reads them; `classifier` says which digit it is (10
probabilities), `reconstruction` paints it again (784 values). Everything is seeded; nothing is downloaded.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

SEED = 7
SIZE = 28


def main() -> None:
    """Train and save the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="where to save it, for instance two_outputs.keras")
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    # Set before Keras is imported: which backend it takes, and how much TensorFlow talks.
    os.environ.update({"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"})
    accuracy = train(options.model, options.epochs)
    print(f"trained {options.model}: {accuracy:.1%} of the training digits right in Keras")


def digits() -> tuple[Any, Any]:
    """The 1,797 digits as (rows, 784) of 0 to 1, float32, and their labels as (rows,), int64.

    Each pixel of the 8x8 images is repeated 3x3; two rows and columns of background go around them.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).repeat(3, axis=1).repeat(3, axis=2) / 16
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    return images.reshape(-1, SIZE * SIZE).astype(np.float32), labels


def train(path: Path, epochs: int) -> float:
    """Train and save, with 500 samples beside the model; return the classifier's accuracy on the training digits."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(SEED)
    images, labels = digits()
    pixels = keras.Input((SIZE * SIZE,), name="pixel_input")
    shared = layers.Dense(64, activation="relu", name="shared")(pixels)
    classifier = layers.Dense(10, activation="softmax", name="classifier")(shared)
    reconstruction = layers.Dense(SIZE * SIZE, activation="sigmoid", name="reconstruction")(shared)
    model = keras.Model(pixels, [classifier, reconstruction], name="two_outputs")
    model.compile(
        optimizer="adam",
        loss={"classifier": "sparse_categorical_crossentropy", "reconstruction": "binary_crossentropy"},
        metrics={"classifier": "accuracy"},
    )
    history = model.fit(images, [labels, images], epochs=epochs, batch_size=32, verbose=0)
    model.save(path)
    np.savez(path.with_name("samples.npz"), pixel_input=images[:500])
    return float(history.history["classifier_accuracy"][-1])


if __name__ == "__main__":
    main()
