"""Advice about a model's outputs: the last activation against the loss, and the precision of the answers."""

from collections.abc import Iterator
from typing import Any

from kedge_bundle.manifest import Advice
from kedge_exporter.advice_graph import Applied, Subject, last_activations
from kedge_exporter.advice_losses import Loss, losses_of

_SQUASHING = {"sigmoid", "softmax", "log_softmax"}
_NO_PROBABILITY = {
    "elu", "gelu", "leaky_relu", "linear", "log_softmax", "mish", "relu", "relu6", "selu", "silu", "softsign", "tanh",
}  # fmt: skip
"""Activations whose values are no probabilities, whatever comes in."""


def loss_activation(subject: Subject) -> Iterator[Advice]:
    """The last activation does not fit the loss that the model was trained with."""
    for position, loss in losses_of(subject.contents.config, _output_names(subject)).items():
        name = subject.loaded.signature.output_names[position]
        chain = _chain(subject, position)
        # What follows a linear activation is what counts; what nobody knows says nothing.
        last = next((step for step in chain if step.name != "linear"), chain[-1] if chain else None)
        if last is None or last.name is None:
            continue
        reason = _mismatch(loss, last.name, _tensor(subject, position).shape[-1])
        if reason:
            yield Advice(
                code="loss-activation",
                layer=last.layer,
                message=f"the output '{name}' ends in {last.name}, and was trained with {_describe(loss)}: {reason}, "
                "then train and save again",
            )


def one_unit_softmax(subject: Subject) -> Iterator[Advice]:
    """A softmax over a single value is 1, whatever goes in."""
    for position, name in enumerate(subject.loaded.signature.output_names):
        for step in _chain(subject, position):
            if step.name == "softmax" and step.size == 1:
                yield Advice(
                    code="one-unit-softmax",
                    layer=step.layer,
                    message=f"the output '{name}' is a softmax over one unit, which is 1 for every input; a single "
                    "probability is a sigmoid: change the activation, train and save again",
                )
                break


def activation_twice(subject: Subject) -> Iterator[Advice]:
    """A softmax or sigmoid on top of another one flattens the answers."""
    for position, name in enumerate(subject.loaded.signature.output_names):
        squashing = [step for step in _chain(subject, position) if step.name in _SQUASHING]
        if len(squashing) > 1:
            yield Advice(
                code="activation-twice",
                layer=squashing[0].layer,
                message=f"the output '{name}' is a {squashing[0].name} of what is a {squashing[1].name} already "
                f"(layer '{squashing[1].layer}'): the answers are squeezed together; take one of them out, train and "
                "save again",
            )


def half_precision_output(subject: Subject) -> Iterator[Advice]:
    """Under a mixed policy the last layer must say float32 itself; forgetting it is the usual accident."""
    for position, spec in enumerate(subject.loaded.signature.outputs):
        if subject.loaded.graph is None or spec.dtype != "float16":
            continue
        layer = _tensor(subject, position)._keras_history.operation  # noqa: SLF001 (Keras offers no public way)
        policy = getattr(getattr(layer, "dtype_policy", None), "name", "")
        if policy.startswith("mixed_"):
            yield Advice(
                code="half-precision-output",
                layer=layer.name,
                message=f"the output '{spec.name}' is {spec.dtype}, by the policy {policy} that the last layer took "
                "over: about three digits, and infinity beyond 65504; give the last layer dtype='float32' and save "
                "again",
            )


def _mismatch(loss: Loss, last: str, units: int | None) -> str:
    """Why the last activation does not fit, and what to change; empty where it does, or nobody can tell."""
    reason = ""
    if loss.takes_logits:
        if last in {"sigmoid", "softmax"}:  # log_softmax is a logit like any other
            reason = "it takes logits and applies the activation itself, so it came twice; end without an activation"
    elif last in _NO_PROBABILITY:
        fitting = "sigmoid" if loss.family == "binary" else "softmax"
        logits = "" if loss.family == "divergence" else ", or give the loss from_logits=True"
        reason = f"it takes probabilities, which {last} does not give; end in {fitting}{logits}"
    elif units == 1 and last == "softmax":
        pass  # `one_unit_softmax` says it
    elif loss.family == "categorical" and loss.is_over_last_axis and units == 1:
        reason = "over one class this loss is always 0; end in sigmoid with binary_crossentropy, or have a unit a class"
    elif loss.family == "categorical" and last == "sigmoid":
        reason = (
            "it takes one distribution over the classes, which sigmoid does not give; end in softmax, or use "
            "binary_crossentropy where several classes may be true at once"
        )
    elif loss.family == "binary" and last == "softmax":
        reason = (
            "it judges every class alone, while softmax shares one whole among them; use categorical_crossentropy, or "
            "end in sigmoid where several classes may be true at once"
        )
    return reason


def _describe(loss: Loss) -> str:
    return f"{loss.name}(from_logits=True)" if loss.takes_logits else loss.name


def _output_names(subject: Subject) -> list[tuple[str, ...]]:
    """What a dict of losses may call each output: the key where the model answers dicts, else its layer."""
    names = subject.loaded.signature.output_names
    layers = subject.loaded.graph.output_names if subject.loaded.graph is not None else names
    return list(zip(names, layers, strict=True))


def _tensor(subject: Subject, position: int) -> Any:  # noqa: ANN401 (Keras ships no types)
    return subject.loaded.graph.outputs[position]  # type: ignore[union-attr]  # only where there is a graph


def _chain(subject: Subject, position: int) -> list[Applied]:
    """The activations of one output, the last first; none of a subclassed model, which hides its wiring."""
    return [] if subject.loaded.graph is None else list(last_activations(_tensor(subject, position)))
