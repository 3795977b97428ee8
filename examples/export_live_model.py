"""Train a tiny model and export it from memory, in one line: no callback, no file in between.

Usage: python -m examples.export_live_model [OUTPUT_DIRECTORY]

The model tells the three species of iris apart, by data that ships inside scikit-learn. The last line of `main` prints
the result; in a notebook, a cell that ends with it shows a table.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from kedge_exporter import export_model

SEED = 7


def main() -> None:
    """Train, export, and print what was proven."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, nargs="?", default=Path("models"), help="the model repository")
    options = parser.parse_args()
    # Set before Keras is imported: which backend it takes, and how much TensorFlow talks.
    os.environ.update({"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"})
    model, flowers = train()

    result = export_model(model, options.output, data=flowers[:50])

    print(result)
    print(f"for a runtime of your own: {result.artifact('onnx')}")


def train() -> tuple[Any, Any]:
    """The trained model, and the flowers as (rows, 4) centimetres, float32."""
    import keras
    from sklearn.datasets import load_iris

    keras.utils.set_random_seed(SEED)
    flowers, species = load_iris(return_X_y=True)
    flowers = flowers.astype("float32")
    normalization = keras.layers.Normalization(name="normalization")
    normalization.adapt(flowers)
    layers = [
        keras.Input((4,), name="flower"),
        normalization,
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(3, activation="softmax", name="species"),
    ]
    model = keras.Sequential(layers, name="iris")
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(flowers, species, epochs=20, verbose=0)
    return model, flowers


if __name__ == "__main__":
    main()
