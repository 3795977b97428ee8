"""Advice about the weights and settings of a model's layers, wherever they stand in it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kedge_bundle.manifest import Advice
from kedge_exporter.advice_graph import Subject, is_a

_MOST_NAMED = 5
"""How many layers or features a message names."""

_MIXERS = ("AugMix", "AutoContrast", "CutMix", "MixUp", "RandAugment")
"""Augmentations of Keras whose names do not begin with Random."""


def not_adapted(subject: Subject) -> Iterator[Advice]:
    """A Normalization as it was built hands its input through; values that were given are the user's own word."""
    for layer in _layers(subject, "Normalization"):
        if layer.input_mean is None and layer.built and not _any(layer.adapt_mean) and _all_ones(layer.adapt_variance):
            yield Advice(
                code="normalization-not-adapted",
                layer=layer.name,
                message=f"the Normalization '{layer.name}' was never adapted: mean 0 and variance 1 change nothing; "
                "call adapt() on the training data, train and save again, or take the layer out",
            )


def zero_variance(subject: Subject) -> Iterator[Advice]:
    """A feature that never varied is divided by Keras' smallest number: the first value that differs is enormous."""
    for layer in _layers(subject, "Normalization"):
        if layer.invert or layer.variance is None:
            continue
        variance = _array(layer.variance)
        features = np.flatnonzero(variance.ravel() == 0)
        if features.size:
            which = f"of {features.size} of {variance.size} features ({_listing(features.tolist())})"
            yield Advice(
                code="normalization-zero-variance",
                layer=layer.name,
                message=f"the Normalization '{layer.name}' knows the variance 0 {which}: they never varied in "
                "adapt(), and a request in which they do is multiplied by 1e7; drop these features, or adapt on data "
                "in which they vary",
            )


def untrained(subject: Subject) -> Iterator[Advice]:
    """Every bias and offset is 0 and every batch normalization as it was built: nothing was ever learned."""
    if _is_untrained(subject):
        yield Advice(
            code="untrained",
            layer=None,
            message="the model looks untrained: every bias is 0 and every normalization is as it was built; if that is "
            "not on purpose, save the model after training, or load the trained weights before saving",
        )


def batch_norm_unmoved(subject: Subject) -> Iterator[Advice]:
    """Moving statistics of exactly 0 and 1: the layer was trained frozen, or never saw a batch."""
    layers = _layers(subject, "BatchNormalization")
    unmoved = [layer.name for layer in layers if _is_unmoved(layer)]
    if unmoved and not _is_untrained(subject):  # one advice says it all
        yield Advice(
            code="batch-norm-unmoved",
            layer=unmoved[0] if len(unmoved) == 1 else None,
            message=f"{len(unmoved)} of {len(layers)} BatchNormalization layers ({_listing(unmoved)}) have the moving "
            "mean 0 and variance 1 that they were built with, so inference normalises nothing, as training did; train "
            "with training=True (model.fit does), or load the whole of the trained weights",
        )


def drops_everything(subject: Subject) -> Iterator[Advice]:
    """A rate of 1 dropped every value in training: what is behind it learned from zeros alone."""
    for layer in _layers(subject, "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"):
        if layer.rate == 1:
            yield Advice(
                code="drops-everything",
                layer=layer.name,
                message=f"the {type(layer).__name__} '{layer.name}' has the rate 1: training dropped every value, and "
                "inference drops none, so the layers behind it see what they never saw; the rate is the share to drop: "
                "lower it and train again",
            )


def augmentation_inside(subject: Subject) -> Iterator[Advice]:
    """Augmentation in the model: it does nothing at inference, which surprises some."""
    found = [
        layer.name
        for layer in _layers(subject, "BaseImagePreprocessingLayer")
        if type(layer).__name__.startswith("Random") or type(layer).__name__ in _MIXERS
    ]
    if found:
        yield Advice(
            code="augmentation-inside",
            layer=found[0] if len(found) == 1 else None,
            message=f"the model holds augmentation ({_listing(found)}): it changes nothing at inference, here and in "
            "Keras; augment in the data pipeline and save the model without these layers, where that matters",
        )


def not_finite(subject: Subject) -> Iterator[str]:
    """Every weight that holds NaN or infinity: its layer, its name, and how many values of it."""
    # Models come before the layers in them: the last one to claim a weight is the layer itself.
    owners = {id(weight): (weight, layer.name) for layer in subject.loaded.layers() for weight in layer.weights}
    for weight, layer_name in owners.values():
        values = _array(weight)
        bad = values.size - int(np.isfinite(values).sum()) if values.dtype.kind == "f" else 0
        if bad:
            kind = "NaN" if np.isnan(values).any() else "infinite"
            yield f"{weight.name} of the layer '{layer_name}' ({bad:,} of {values.size:,} values, {kind})"


def _layers(subject: Subject, *names: str) -> list[Any]:
    return [layer for layer in subject.loaded.layers() if is_a(layer, *names)]


def _is_unmoved(layer: Any) -> bool:  # noqa: ANN401 (Keras ships no types)
    return bool(layer.built) and not _any(layer.moving_mean) and _all_ones(layer.moving_variance)


def _is_untrained(subject: Subject) -> bool:
    """Whether no bias and no statistic speaks of training, and there is at least one that could."""
    layers = subject.loaded.layers()
    starting = [
        value
        for layer in layers
        for value in (getattr(layer, "bias", None), getattr(layer, "beta", None))
        if hasattr(value, "numpy") and getattr(value, "trainable", False)
    ]
    statistics = [layer for layer in layers if is_a(layer, "BatchNormalization")]
    return bool(starting) and not any(map(_any, starting)) and all(map(_is_unmoved, statistics))


def _array(value: Any) -> NDArray[Any]:  # noqa: ANN401
    """A weight or a constant of a layer; bfloat16, which numpy does not know, as float32."""
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.name == "bfloat16" else array


def _any(value: Any) -> bool:  # noqa: ANN401
    return bool(_array(value).any())


def _all_ones(value: Any) -> bool:  # noqa: ANN401
    return bool((_array(value) == 1).all())


def _listing(names: list[Any]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(map(str, names[:_MOST_NAMED])) + (f" and {rest} more" if rest > 0 else "")
