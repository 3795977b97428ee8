"""Files that Keras saved elsewhere: on the JAX and the PyTorch backend, and years ago.

`foreign/make_files.py` made them, with what their maker answered: the artifacts are compared with that as well.
"""

from tests.zoo.registry import FOREIGN, ZooModel, add

_MAKERS = {
    "jax": "Keras 3.15.1 on the JAX backend",
    "torch": "Keras 3.15.1 on the PyTorch backend",
    "keras33": "Keras 3.3.3 on TensorFlow 2.16",
    "keras30": "Keras 3.0.5 on the JAX backend",
}
_MODELS = {
    "perceptron": "a perceptron",
    "convolutional": "a convolutional network",
    "recurrent": "a recurrent network of variable length",
    "attention": "a transformer block",
}

_FAST = {"perceptron_torch", "convolutional_keras30", "recurrent_jax"}

for _tag, _maker in _MAKERS.items():
    for _model, _about in _MODELS.items():
        add(
            ZooModel(
                name=f"{_model}_{_tag}",
                family="Files from elsewhere",
                about=f"{_maker}: {_about}",
                file=FOREIGN / f"{_model}_{_tag}.keras",
                answers=FOREIGN / f"{_model}_{_tag}.npz",
                is_fast=f"{_model}_{_tag}" in _FAST,
            )
        )
