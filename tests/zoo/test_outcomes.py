"""The judge of the zoo: everything that is not as it should be is a surprise."""

from dataclasses import replace

import pytest

from kedge_bundle.manifest import FORMATS, FormatName
from tests.zoo.coverage import EXCEPTIONS, missing
from tests.zoo.models import ZOO
from tests.zoo.outcomes import FormatOutcome, KerasNames, Outcome, surprises
from tests.zoo.table import lines_of

PROVEN = tuple(FormatOutcome(format=name, exit_code=0, verdict="bit-exact", batch="dynamic") for name in FORMATS)
GOOD = Outcome(name="dense", formats=PROVEN)


def failing(name: FormatName, exit_code: int, sentence: str) -> Outcome:
    return GOOD.model_copy(
        update={
            "formats": tuple(
                FormatOutcome(format=name, exit_code=exit_code, sentence=sentence) if entry.format == name else entry
                for entry in PROVEN
            )
        }
    )


def test_a_model_that_is_proven_everywhere_is_no_surprise() -> None:
    assert surprises(GOOD) == []


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (GOOD.model_copy(update={"fault": "its process died"}), "its process died"),
        (GOOD.model_copy(update={"formats": PROVEN[1:]}), f"{FORMATS[0]}: was not tried"),
        (failing("onnx", 1, "differs"), "onnx: exit code 1: differs"),
        (GOOD.model_copy(update={"notes": ("the output 'y' is the same for every input of",)}), "the output 'y' is"),
        (GOOD.model_copy(update={"notes": ("case 'tiny-2' is not part of the proof: NaN",)}), "case 'tiny-2' is not"),
    ],
)
def test_what_is_not_proven_is_a_surprise(outcome: Outcome, said: str) -> None:
    assert [sentence[: len(said)] for sentence in surprises(outcome)] == [said]


@pytest.mark.parametrize(
    ("exit_code", "sentence", "is_expected"),
    [
        (4, "onnx cannot be produced: Hash at 'bucket'", True),
        (3, "Hash at 'bucket'", True),
        (4, "something else", False),
        (1, "Hash at 'bucket'", False),
        (0, "", False),
    ],
)
def test_a_refusal_must_be_the_one_that_the_zoo_names(
    monkeypatch: pytest.MonkeyPatch, *, exit_code: int, sentence: str, is_expected: bool
) -> None:
    monkeypatch.setitem(ZOO, "dense", replace(ZOO["dense"], refused={"onnx": "Hash at '.+'"}))
    assert (surprises(failing("onnx", exit_code, sentence)) == []) == is_expected


@pytest.mark.parametrize(
    ("answers", "is_expected"), [(1e-7, True), (1e-2, False), (None, False), (float("nan"), False)]
)
def test_a_foreign_file_must_answer_as_its_maker_did(*, answers: float | None, is_expected: bool) -> None:
    outcome = GOOD.model_copy(update={"name": "perceptron_jax", "answers": answers})
    assert (surprises(outcome) == []) == is_expected


def test_a_layer_or_an_activation_that_no_model_has_is_named() -> None:
    names = KerasNames(layers=("Dense", "Novel", *EXCEPTIONS), functions=("relu", "novel"))
    outcome = GOOD.model_copy(update={"classes": ("Dense", "Zeros"), "activations": ("relu",)})
    assert missing([outcome], names) == ["no model has the layer Novel", "no model has the activation novel"]


def test_the_line_of_the_terminal_tells_refusals_and_faults() -> None:
    assert "Hash at 'bucket'" in "\n".join(lines_of(failing("onnx", 4, "Hash at 'bucket'")))
    assert lines_of(GOOD.model_copy(update={"fault": "it died"})) == ["dense: it died"]
