"""Is every layer and every activation that Keras has in some model of the zoo? No Keras here."""

from collections.abc import Iterable

from tests.zoo.outcomes import KerasNames, Outcome

EXCEPTIONS = {
    "FlaxLayer": "runs JAX; refused",
    "InputSpec": "no layer",
    "JaxLayer": "runs JAX; refused",
    "Lambda": "holds bytecode; refused",
    "Layer": "the base class",
    "MaxNumBoundingBoxes": "acts on the boxes of training data, which no served model has",
    "TFSMLayer": "loads another SavedModel; refused",
    "TorchModuleWrapper": "runs PyTorch and holds pickles; refused",
    "Wrapper": "the base class of wrappers",
}
"""Public classes of `keras.layers` that no model of the zoo has, each with its reason."""

_BY_OPS = {"threshold": "Threshold"}
"""Activations that take arguments and so stand in files as the class of their op."""


def covered_layers(outcomes: Iterable[Outcome], names: KerasNames) -> set[str]:
    """The public layer classes that the files of these models name."""
    return {name for outcome in outcomes for name in outcome.classes} & set(names.layers)


def missing(outcomes: Iterable[Outcome], names: KerasNames) -> list[str]:
    """What Keras has and no model of the zoo, one sentence each; and exceptions that Keras does not have."""
    outcomes = list(outcomes)
    layers = covered_layers(outcomes, names)
    activations = {name for outcome in outcomes for name in outcome.activations}
    classes = {name for outcome in outcomes for name in outcome.classes}
    found = [f"no model has the layer {name}" for name in sorted(set(names.layers) - layers - EXCEPTIONS.keys())]
    found += [f"the exception {name} is in a model" for name in sorted(layers & EXCEPTIONS.keys())]
    found += [
        f"the exception {name} is no class of keras.layers" for name in sorted(EXCEPTIONS.keys() - set(names.layers))
    ]
    return found + [
        f"no model has the activation {name}"
        for name in names.functions
        if name not in activations and _BY_OPS.get(name) not in classes
    ]
