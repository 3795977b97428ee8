"""An edge is left out only where Keras' own answers move as far as the artifact's differ."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kedge_bundle.cases import Case
from kedge_bundle.judge import Judge
from kedge_bundle.manifest import Artifact
from kedge_bundle.parity import Budget, report
from kedge_bundle.rounding import Reference
from kedge_exporter.edges import Settled, settle
from kedge_exporter.errors import ModelRefused
from kedge_exporter.exact import Exact
from kedge_exporter.proof_job import PLAIN
from kedge_exporter.proven import Proven
from kedge_exporter.sensitivity import Sensitivity
from tests.services.bundles import publish, two_output

Answer = Callable[[np.ndarray], np.ndarray]


class Model:
    """What `settle` asks of a model: an answer in float64."""

    precision = "float64"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def answer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": self._answer(inputs["x"])}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish(two_output(), tmp_path_factory.mktemp("models"), "two").manifest.artifacts[0]


def case(name: str, x: np.ndarray, answer: Answer) -> Case:
    exact = answer(x.astype(np.float64))
    reference = {"y": exact} if exact.dtype.kind == "f" else {}
    outputs = {"y": exact.astype(np.float32) if exact.dtype.kind == "f" else exact}
    return Case(name, {"x": x.astype(np.float32)}, outputs, reference)


def settled(artifact: Artifact, answer: Answer, x: np.ndarray, actual: np.ndarray, **named: str) -> Settled:
    """What becomes of an artifact that answers `actual` to `x`, and typical inputs as Keras does."""
    name, session = named.get("name", "ones-2"), named.get("session", "")
    rng = np.random.default_rng(0)
    cases = [case("typical-32", rng.uniform(0.1, 0.9, (32, 2)), answer), case(name, x, answer)]
    if named.get("reference") == "none":
        cases = [replace(one, reference={}) for one in cases]
    judge = Judge.of(cases, Budget.for_precision("float32"))
    compared = [judge.compare(cases[0], cases[0].outputs), judge.compare(cases[1], {"y": actual})]
    found = report("onnx", "cpu", compared).model_copy(update={"session": session})
    proven = Proven(artifact, (), Sensitivity(format="onnx", noticed=True)).with_reports((found,))
    model = Model(answer)
    return settle(model, Exact(model, cases, Reference(precision="float64")), (proven,))  # type: ignore[arg-type]


def floor(x: np.ndarray) -> np.ndarray:
    return np.floor(x)


ONES = np.ones((2, 2))


def test_a_floor_that_stands_exactly_on_the_edge_is_left_out_and_noted(artifact: Artifact) -> None:
    found = settled(artifact, floor, ONES, np.array([[1, 0], [1, 1]], np.float32))
    assert found.left_out == {"ones-2"}
    assert found.proven[0].artifact.verdict == "bit-exact"
    assert [c.case for c in found.proven[0].reports[0].cases] == ["typical-32"]
    assert found.notes[0].startswith("the cases 'ones-2' are not part of the proof")


def test_an_answer_further_off_than_the_edge_explains_stays_failed(artifact: Artifact) -> None:
    found = settled(artifact, floor, ONES, np.array([[1, 40], [1, 1]], np.float32))
    assert (found.left_out, found.notes) == (frozenset(), ())
    assert found.proven[0].artifact.verdict == "failed"


def test_a_smooth_model_has_no_edges(artifact: Artifact) -> None:
    found = settled(artifact, lambda x: x * 3, ONES, np.array([[3, 3.01], [3, 3]], np.float32))
    assert found.proven[0].artifact.verdict == "failed"


def test_typical_inputs_are_never_excused(artifact: Artifact) -> None:
    found = settled(artifact, floor, ONES, np.array([[1, 0], [1, 1]], np.float32), name="typical-2")
    assert found.proven[0].artifact.verdict == "failed"
    found = settled(artifact, floor, ONES, np.array([[1, 0], [1, 1]], np.float32), name="data-2")
    assert found.proven[0].artifact.verdict == "failed"


@pytest.mark.parametrize("keras_sees_zeros", [True, False])
def test_comparisons_of_denormal_numbers_depend_on_who_flushes_them(
    artifact: Artifact,
    keras_sees_zeros: bool,  # noqa: FBT001 (a parameter of the test)
) -> None:
    def greater(x: np.ndarray) -> np.ndarray:
        seen = np.where(np.abs(x) < 1.2e-38, 0, x) if keras_sees_zeros else x
        return seen > 0

    x = np.full((2, 2), 1e-39, np.float32)
    found = settled(artifact, greater, x, ~greater(x), name="denormal-2")
    assert found.left_out == {"denormal-2"}


def test_an_integer_answer_that_no_rounding_moves_stays_failed(artifact: Artifact) -> None:
    found = settled(artifact, lambda x: x > 0.5, ONES, np.zeros((2, 2), bool))
    assert found.proven[0].artifact.verdict == "failed"


def test_nan_where_keras_has_it_a_rounding_away(artifact: Artifact) -> None:
    def undefined(x: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(np.abs(x) < 1e-38, np.nan, x / np.abs(x))

    x = np.full((2, 2), 1e-39, np.float32)
    found = settled(artifact, undefined, x, np.ones((2, 2), np.float32), name="denormal-2")
    assert found.left_out == {"denormal-2"}


def test_a_model_that_does_not_answer_excuses_nothing(artifact: Artifact) -> None:
    calls = []

    def failing(x: np.ndarray) -> np.ndarray:
        calls.append(x)
        if len(calls) > 2:
            raise ModelRefused("no")
        return np.floor(x)

    found = settled(artifact, failing, ONES, np.array([[1, 0], [1, 1]], np.float32))
    assert found.proven[0].artifact.verdict == "failed"


def test_the_session_that_nobody_serves_has_no_veto_and_a_sentence(artifact: Artifact) -> None:
    wrong = np.array([[3, 3.01], [3, 3]], np.float32)
    found = settled(artifact, lambda x: x * 3, ONES, wrong, session=PLAIN)
    assert found.left_out == frozenset()
    assert "largest error" in found.proven[0].plain_failure
    assert found.proven[0].first_failure == ""


def test_an_output_without_a_reference_is_measured_in_its_own_units(artifact: Artifact) -> None:
    def count(x: np.ndarray) -> np.ndarray:  # float64 does not move it, so that it has no reference
        return (x > 0).sum(axis=1, keepdims=True).astype(np.float32)

    x = np.full((2, 2), 1e-39, np.float32)
    found = settled(artifact, count, x, np.zeros((2, 1), np.float32), name="denormal-2", reference="none")
    assert found.left_out == {"denormal-2"}
    found = settled(artifact, count, x, np.full((2, 1), 99, np.float32), name="denormal-2", reference="none")
    assert found.left_out == frozenset()
