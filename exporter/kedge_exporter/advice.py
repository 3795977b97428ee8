"""Sound advice: what an experienced colleague would say on seeing the file. One rule, one function, one code.

The rules are certain or silent: an ordinary trained model gets no advice at all. `docs/advice.md` lists them.
"""

from collections.abc import Callable, Iterator

from kedge_bundle.manifest import Advice
from kedge_exporter import advice_inputs, advice_layers, advice_outputs
from kedge_exporter.advice_graph import Subject
from kedge_exporter.errors import ModelRefused, NotReproducible

NOT_REPRODUCIBLE = "not-reproducible"
"""The code of what is found later, when everything is converted: `reproducible.py`."""

RULES: dict[str, Callable[[Subject], Iterator[Advice]]] = {
    "loss-activation": advice_outputs.loss_activation,
    "one-unit-softmax": advice_outputs.one_unit_softmax,
    "activation-twice": advice_outputs.activation_twice,
    "half-precision-output": advice_outputs.half_precision_output,
    "unread-input": advice_inputs.unread_input,
    "scaled-twice": advice_inputs.scaled_twice,
    "normalization-not-adapted": advice_layers.not_adapted,
    "normalization-zero-variance": advice_layers.zero_variance,
    "untrained": advice_layers.untrained,
    "batch-norm-unmoved": advice_layers.batch_norm_unmoved,
    "drops-everything": advice_layers.drops_everything,
    "augmentation-inside": advice_layers.augmentation_inside,
}


def advise(subject: Subject, *, is_strict: bool) -> tuple[Advice, ...]:
    """What the file gives reason to say, in the order of the rules.

    Args:
        subject: the model, loaded.
        is_strict: whether any advice refuses the model.

    Raises:
        ModelRefused: a weight is NaN or infinite; or there is advice, and it is strict.
    """
    broken = list(advice_layers.not_finite(subject))
    if broken:
        raise ModelRefused(
            f"{subject.contents.path}: weights that are no numbers: {'; '.join(broken)}; training diverged: lower the "
            "learning rate, or clip gradients, and save a checkpoint from before"
        )
    found = tuple(advice for rule in RULES.values() for advice in rule(subject))
    if is_strict:
        require_none(found)
    return found


def require_none(found: tuple[Advice, ...]) -> None:
    """What `--strict` asks for.

    Raises:
        ModelRefused: there is advice; all of it is listed.
        NotReproducible: the model is as it should be, but two conversions of it differ.
    """
    if found:
        is_model_sound = all(advice.code == NOT_REPRODUCIBLE for advice in found)
        error = NotReproducible if is_model_sound else ModelRefused
        raise error("--strict: " + "; ".join(f"{advice.code}: {advice.message}" for advice in found))
