"""What a `.keras` file says of the loss that each output was trained with. Plain data; silent where it is unsure.

Keras writes a loss as its name, as `{class_name, config}`, as a function's name, or as lists and dicts of these; custom
losses, and whatever older or newer versions of Keras may write, are no loss that anything is known of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Family = Literal["categorical", "binary", "divergence"]

_FAMILIES: dict[str, Family] = {
    # Keras' names, of functions and classes, in small letters and without '_'.
    "bce": "binary",
    "binarycrossentropy": "binary",
    "binaryfocalcrossentropy": "binary",
    "categoricalcrossentropy": "categorical",
    "categoricalfocalcrossentropy": "categorical",
    "sparsecategoricalcrossentropy": "categorical",
    "kld": "divergence",
    "kldivergence": "divergence",
}


@dataclass(frozen=True)
class Loss:
    """A loss of Keras that compares probabilities.

    Attributes:
        name: as the file has it.
        takes_logits: `from_logits=True`.
        is_over_last_axis: whether the classes are the last axis.
    """

    name: str
    family: Family
    takes_logits: bool = False
    is_over_last_axis: bool = True


def losses_of(config: dict[str, Any], names: Sequence[Sequence[str]]) -> dict[int, Loss]:
    """The losses that are known, by the position of their output.

    Args:
        config: the model's `config.json`.
        names: what each output is called, in order; an output may have several names.
    """
    compiled = config.get("compile_config")
    given = compiled.get("loss") if isinstance(compiled, dict) else None
    if isinstance(given, dict) and "class_name" not in given:
        found = {i: _first(given, called) for i, called in enumerate(names)}
    elif isinstance(given, list):
        found = dict(enumerate(given)) if len(given) == len(names) else {}
    else:
        found = {0: given} if len(names) == 1 else {}
    return {position: loss for position, entry in found.items() if (loss := _loss(entry)) is not None}


def _first(given: dict[str, Any], called: Sequence[str]) -> object:
    return next((given[name] for name in called if name in given), None)


def _loss(given: object) -> Loss | None:
    """One loss as the file has it."""
    if isinstance(given, str):
        return _named(given, {})
    if not isinstance(given, dict):
        return None
    name, config, module = given.get("class_name"), given.get("config"), given.get("module")
    if name == "function":
        # A function of the user's that is registered is called `package>name`.
        return _named(config, {}) if isinstance(config, str) else None
    is_kerases = isinstance(module, str) and module.partition(".")[0] == "keras"
    return _named(name, config) if is_kerases and isinstance(name, str) and isinstance(config, dict) else None


def _named(name: str, config: dict[str, Any]) -> Loss | None:
    family = _FAMILIES.get(name.replace("_", "").lower())
    if family is None:
        return None
    return Loss(
        name,
        family,
        takes_logits=config.get("from_logits") is True,
        is_over_last_axis=config.get("axis", -1) == -1,
    )
