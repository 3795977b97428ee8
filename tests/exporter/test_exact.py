"""The float64 reference is believed only where Keras' own answers are near it."""

from collections.abc import Callable

import numpy as np
import pytest

from kedge_bundle.cases import Case
from kedge_exporter import exact
from kedge_exporter.errors import ModelRefused
from kedge_exporter.exact import with_reference


class Model:
    """What the reference asks of a loaded model: an answer in float64, off from Keras' by a share of its size."""

    precision = "float32"

    def __init__(self, off: dict[str, float], dtype: str = "float64") -> None:
        self.off, self.dtype = off, dtype

    def answer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = inputs["x"]
        assert x.dtype == np.float64
        kind = "large" if np.abs(x).max() > 10 else "typical"
        return {"y": (x * (1 + self.off.get(kind, 0.0))).astype(self.dtype)}


def cases() -> list[Case]:
    rng = np.random.default_rng(0)
    drawn = {"typical-32": rng.uniform(-1, 1, (32, 2)), "large-2": 100 + rng.uniform(-1, 1, (2, 2))}
    return [
        Case(name, {"x": (x := values.astype(np.float32))}, {"y": x, "n": np.arange(len(x))})
        for name, values in drawn.items()
    ]


Rebuilt = Callable[[Model], None]


@pytest.fixture
def rebuilt(monkeypatch: pytest.MonkeyPatch) -> Rebuilt:
    """Let the rebuild give this model."""

    def put(model: Model) -> None:
        from kedge_exporter import precision, tracing  # noqa: PLC0415 (Keras; only where it is needed)

        monkeypatch.setattr(precision, "rebuild", lambda _loaded, _target, **_how: model)
        monkeypatch.setattr(tracing, "in_one_graph", lambda model: model)
        monkeypatch.setattr(exact, "_heads", lambda _loaded: ())

    return put


def test_small_errors_are_rounding_and_integers_have_no_reference(rebuilt: Rebuilt) -> None:
    rebuilt(Model({"typical": 1e-6, "large": 1e-5}))
    found = with_reference(Model({}), cases())
    assert (found.reference.precision, found.notes) == ("float64", ())
    assert [set(case.reference) for case in found.cases] == [{"y"}, {"y"}]
    assert found.reference.own["y"]["typical"] == pytest.approx(1e-6, rel=0.2)
    assert found.reference.own["y"]["large"] == pytest.approx(1e-5, rel=0.2)


def test_an_extreme_on_which_keras_is_lost_leaves_the_proof_and_a_note_says_so(rebuilt: Rebuilt) -> None:
    rebuilt(Model({"typical": 1e-6, "large": 0.5}))
    found = with_reference(Model({}), cases())
    assert [case.name for case in found.cases] == ["typical-32"]
    assert found.notes[0].startswith("the cases 'large' are not part of the proof")
    assert "large" not in found.reference.own["y"]


def test_a_reference_far_from_keras_on_usual_inputs_is_another_model(rebuilt: Rebuilt) -> None:
    rebuilt(Model({"typical": 0.5}))
    found = with_reference(Model({}), cases())
    assert (found.reference.precision, found.model) == ("float32", None)
    assert "differs from Keras' own by 0.33 of its size on typical inputs" in found.reference.reason
    assert all(case.reference == {} for case in found.cases)
    assert len(found.cases) == 2


def test_a_model_whose_own_answers_move_by_a_hundredth_is_said_to_be_sensitive(rebuilt: Rebuilt) -> None:
    rebuilt(Model({"typical": 0.02}))
    found = with_reference(Model({}), cases())
    assert found.reference.precision == "float64"
    assert found.notes[0].startswith("the model is sensitive: on typical inputs")


def test_a_rebuild_that_answers_in_float32_is_no_reference(rebuilt: Rebuilt) -> None:
    rebuilt(Model({}, dtype="float32"))
    assert "is float32 of shape (32, 2)" in with_reference(Model({}), cases()).reference.reason


def test_an_output_that_float64_does_not_move_has_keras_as_its_reference(rebuilt: Rebuilt) -> None:
    rebuilt(Model({"large": 1e-5}))
    found = with_reference(Model({}), cases())
    assert found.reference.precision == "float64"
    assert found.reference.unmoved == ("y",)
    assert found.reference.own == {}
    assert all(case.reference == {} for case in found.cases)


def test_keras_is_not_asked_for_logits_that_no_op_leads_to(rebuilt: Rebuilt, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuilt(Model({}))
    monkeypatch.setattr(exact, "_heads", lambda _loaded: ("y",))
    assert with_reference(Model({}), cases()).heads == ("y",)
    assert with_reference(Model({}), cases(), may_have_heads=False).heads == ()


def test_the_layer_that_refuses_float64_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from kedge_exporter import precision  # noqa: PLC0415 (Keras)

    def refuse(_loaded: object, _target: str, **_how: object) -> Model:
        raise precision.CannotRebuild("the layer 'stubborn' (Own) stays float32")

    monkeypatch.setattr(precision, "rebuild", refuse)
    found = with_reference(Model({}), cases())
    assert found.reference.reason == "the layer 'stubborn' (Own) stays float32"
    assert found.notes == ("no reference in float64: the layer 'stubborn' (Own) stays float32",)


def test_a_model_that_fails_on_a_case_in_float64_has_no_reference(rebuilt: Rebuilt) -> None:
    class Failing(Model):
        def answer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:  # noqa: ARG002
            raise ModelRefused("Keras cannot answer")

    rebuilt(Failing({}))
    assert with_reference(Model({}), cases()).reference.reason == "Keras cannot answer"


@pytest.mark.parametrize(("precision", "why_not"), [("float64", ""), ("float32", "an operation computes in float16")])
def test_a_reason_known_beforehand_saves_the_work(
    precision: str, why_not: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model({})
    monkeypatch.setattr(model, "precision", precision, raising=False)
    found = with_reference(model, cases(), why_not=why_not)
    assert found.reference.reason == (why_not or "the model computes in float64 itself")


def test_where_no_output_is_a_float_nothing_is_built() -> None:
    integers = [Case("typical-2", {"x": np.zeros((2, 2), np.float32)}, {"n": np.arange(2)})]
    assert with_reference(Model({}), integers).reference.precision == "float64"
    assert exact.with_reference(Model({}), integers).cases == integers
