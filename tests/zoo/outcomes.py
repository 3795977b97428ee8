"""What came of each model of the zoo, as JSON lines carry it, and whether it is what should have come. No Keras."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from kedge_bundle.manifest import FormatName
from tests.zoo.models import ZOO
from tests.zoo.registry import ZooModel


class KerasNames(BaseModel):
    """What the Keras that built the models has: public layer classes and activation functions."""

    model_config = ConfigDict(frozen=True)

    layers: tuple[str, ...]
    functions: tuple[str, ...]


class FormatOutcome(BaseModel):
    """One format of one model: proven, or the sentence that says why not.

    Attributes:
        error: the largest difference from Keras' answers, as a share of the output's largest value.
        seconds: wall time of the conversion and of waiting for its proof.
        exit_code: that of `export-model`; 0 is proven.
    """

    model_config = ConfigDict(frozen=True)

    format: FormatName
    exit_code: int
    sentence: str = ""
    verdict: str = ""
    batch: Literal["dynamic"] | int | None = None
    bytes: int = 0
    cases: int = 0
    error: float | None = None
    seconds: float = 0.0


class Outcome(BaseModel):
    """What came of one model.

    Attributes:
        fault: why there is no outcome: the builder raised, the process died, an exception that is no refusal.
        keras_bytes: the size of the `.keras` file.
        keras_version: the version that saved it.
        classes: every class that its file names.
        activations: every activation that its file names.
        notes: what the export told the user.
        answers: the largest difference from the answers of the file's maker, as a share of the output's largest value.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    fault: str = ""
    keras_bytes: int = 0
    keras_version: str = ""
    classes: tuple[str, ...] = ()
    activations: tuple[str, ...] = ()
    formats: tuple[FormatOutcome, ...] = ()
    notes: tuple[str, ...] = ()
    answers: float | None = None
    seconds: float = 0.0

    def of(self, format_name: FormatName) -> FormatOutcome | None:
        """The outcome of one format."""
        return next((outcome for outcome in self.formats if outcome.format == format_name), None)


_CONSTANT = re.compile(r"the output '(.+?)' is the same for every input")
_LEFT_OUT = "is not part of the proof"
_MOST_BETWEEN_BACKENDS = 1e-4
"""Two backends add in another order; measured 1e-7 to 1e-6 of the output's scale."""


def surprises(outcome: Outcome) -> list[str]:
    """Everything about one outcome that is not as the zoo says it should be; one sentence each."""
    model = ZOO[outcome.name]
    if outcome.fault:
        return [outcome.fault]
    found = [sentence for name in model.proven for sentence in _unproven(outcome.of(name), name)]
    found += [sentence for name in model.refused for sentence in _not_refused(outcome.of(name), name, model)]
    constant = {match[1] for note in outcome.notes if (match := _CONSTANT.search(note))}
    found += [
        f"the output '{name}' is the same for every input: nothing is proven" for name in constant - model.constant
    ]
    found += [f"the output '{name}' varies, and should not" for name in model.constant - constant if model.proven]
    found += [note for note in outcome.notes if _LEFT_OUT in note]
    if model.answers is not None and (outcome.answers is None or not outcome.answers <= _MOST_BETWEEN_BACKENDS):
        found.append(f"differs from the answers of the file's maker by {outcome.answers} of the scale")
    return found


def _unproven(outcome: FormatOutcome | None, name: FormatName) -> list[str]:
    if outcome is None:
        return [f"{name}: was not tried"]
    return [f"{name}: exit code {outcome.exit_code}: {outcome.sentence}"] if outcome.exit_code else []


def _not_refused(outcome: FormatOutcome | None, name: FormatName, model: ZooModel) -> list[str]:
    pattern = model.refused[name]
    if outcome is None:
        return [f"{name}: was not tried"]
    if outcome.exit_code == 0:
        return [f"{name}: is proven now, and was to be refused: take it out of the model's `refused`"]
    if outcome.exit_code not in (3, 4) or not re.search(pattern, outcome.sentence):
        return [f"{name}: expected a refusal like /{pattern}/, got exit code {outcome.exit_code}: {outcome.sentence}"]
    return []


class Results(BaseModel):
    """What one run of the zoo found."""

    model_config = ConfigDict(frozen=True)

    keras: KerasNames
    outcomes: dict[str, Outcome]

    def write(self, path: Path) -> None:
        """One JSON line for Keras' names, then one for each model."""
        lines = [model.model_dump_json() for model in (self.keras, *self.outcomes.values())]
        path.write_text("\n".join(lines) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        first, *lines = path.read_text("utf-8").splitlines()
        outcomes = map(Outcome.model_validate_json, lines)
        return cls(
            keras=KerasNames.model_validate_json(first), outcomes={outcome.name: outcome for outcome in outcomes}
        )
