"""The inputs of the proof: seeded, of several kinds, always such as the model takes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kedge_bundle.cases import Case
from kedge_bundle.signature import Signature, TensorSpec
from kedge_bundle.stats import InputStats
from kedge_exporter.readings import Reading
from kedge_exporter.samples import (
    Draw,
    draws,
    golden_cases,
    has_open_sizes,
    make_cases,
    regrouped,
)

KINDS = ("typical", "normal", "zeros", "ones", "large", "tiny")


def spec(*shape: int | None, dtype: str = "float32", batch: int | None = None) -> TensorSpec:
    return TensorSpec.model_validate({"name": "x", "dtype": dtype, "shape": (batch, *shape)})


def signature(*specs: TensorSpec) -> Signature:
    return Signature(inputs=specs, outputs=(TensorSpec(name="y", dtype="float32", shape=(None, 1)),))


def values(draw: Draw, kind: str, *shape: int) -> np.ndarray[Any, Any]:
    return draw.values(kind, shape, np.random.default_rng(0))


def test_every_kind_and_many_batches_are_there() -> None:
    stats = InputStats(input="x", source="data", mean=(5.0,), std=(2.0,))
    cases = make_cases([Draw(spec(3), stats)], (1,), None, seed=0, fixed_batch=None)
    assert {case.name for case in cases} == {
        "typical-1", "typical-2", "typical-3", "typical-7", "typical-32",
        "normal-8", "zeros-2", "ones-2", "constant-8", "large-8", "tiny-2", "denormal-1",
    }  # fmt: skip
    assert {case.inputs["x"].shape[0] for case in cases} == {1, 2, 3, 7, 8, 32}
    assert all(case.inputs["x"].dtype == np.float32 for case in cases)


def test_rows_that_are_one_number_and_numbers_below_the_smallest_normal_one() -> None:
    constant = values(Draw(spec(4, 3)), "constant", 2, 4, 3)
    assert (np.ptp(constant, axis=(1, 2)) == 0).all()
    assert constant[0, 0, 0] != constant[1, 0, 0]
    for dtype in ("float16", "float32", "float64"):
        denormal = values(Draw(spec(100, dtype=dtype)), "denormal", 2, 100)
        assert 0 < np.abs(denormal).max() < np.finfo(dtype).tiny


def test_the_rows_of_one_case_come_in_reverse_and_in_two_parts() -> None:
    cases = make_cases([Draw(spec(3))], (1,), None, seed=0, fixed_batch=None)
    answered = [replace(case, outputs={"y": case.inputs["x"] * 2}) for case in cases]
    moved = {case.name: case for case in regrouped(answered)}
    whole = next(case.inputs["x"] for case in cases if case.name == "typical-7")
    assert list(moved) == ["typical-7-reversed", "typical-7-first-3", "typical-7-last-4"]
    assert {case.kind for case in moved.values()} == {"typical"}
    assert np.array_equal(moved["typical-7-reversed"].inputs["x"], whole[::-1])
    parts = [moved[name].inputs["x"] for name in ("typical-7-first-3", "typical-7-last-4")]
    assert np.array_equal(np.concatenate(parts), whole)
    assert all(np.array_equal(case.outputs["y"], case.inputs["x"] * 2) for case in moved.values())


def test_what_has_no_rows_is_not_regrouped() -> None:
    case = Case("typical-7", {"x": np.zeros((7, 3))}, {"y": np.zeros(())})
    assert regrouped([case]) == []
    assert regrouped([]) == []


def test_a_fixed_batch_gets_as_many_typical_draws() -> None:
    cases = make_cases([Draw(spec(3, batch=1))], (1,), None, seed=0, fixed_batch=1)
    typical = [case for case in cases if case.kind == "typical"]
    assert [case.name for case in typical] == [f"typical-1-{number}" for number in range(1, 6)]
    assert len({case.inputs["x"].tobytes() for case in typical}) == 5


def test_the_seed_decides_the_draw() -> None:
    first, again, other = (
        make_cases([Draw(spec(3))], (1,), None, seed=seed, fixed_batch=None)[0].inputs["x"] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_batch_that_the_model_fixes_is_kept() -> None:
    cases = make_cases([Draw(spec(3, batch=4))], (1,), None, seed=0, fixed_batch=4)
    assert {case.inputs["x"].shape for case in cases} == {(4, 3)}


def test_open_sizes_take_several_values() -> None:
    inputs = spec(None, 3)
    assert has_open_sizes(signature(inputs))
    cases = make_cases([Draw(inputs)], (12, 7), None, seed=0, fixed_batch=None)
    assert {case.inputs["x"].shape[1] for case in cases} == {12, 7}


def test_typical_values_are_drawn_from_what_training_saw() -> None:
    stats = InputStats(input="x", source="normalization-layer", mean=(10.0, -5.0), std=(1.0, 0.1))
    drawn = values(Draw(spec(2), stats), "typical", 4000, 2)
    np.testing.assert_allclose(drawn.mean(axis=0), [10, -5], atol=0.1)
    np.testing.assert_allclose(drawn.std(axis=0), [1, 0.1], rtol=0.1)


def test_a_feature_axis_in_the_middle_is_respected() -> None:
    stats = InputStats(input="x", axis=1, source="normalization-layer", mean=(10.0, -5.0), std=(1.0, 0.1))
    drawn = values(Draw(spec(2, 9), stats), "typical", 50, 2, 9)
    np.testing.assert_allclose(drawn.mean(axis=(0, 2)), [10, -5], atol=0.2)


def test_a_known_range_is_filled() -> None:
    stats = InputStats(input="x", axis=None, source="rescaling-layer", min=(0.0,), max=(255.0,))
    drawn = values(Draw(spec(2), stats), "typical", 4000, 2)
    assert 0 <= drawn.min() < 2
    assert 253 < drawn.max() <= 255


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_indices_stay_inside_the_table(kind: str, dtype: str) -> None:
    reading = Reading("embed", "indices", is_direct=True, numbers={"count": np.array(5.0)})
    (draw,) = draws(signature(spec(100, dtype=dtype)), {"x": [reading]}, ())
    drawn = values(draw, kind, 7, 100)
    assert drawn.dtype == dtype
    assert (drawn == np.floor(drawn)).all()
    assert drawn.min() >= 0
    assert drawn.max() <= 4
    assert kind != "typical" or set(np.unique(drawn)) == {0, 1, 2, 3, 4}


def test_two_tables_read_by_one_input_share_the_smaller_range() -> None:
    told = [Reading(str(n), "indices", is_direct=True, numbers={"count": np.array(float(n))}) for n in (9, 3)]
    (draw,) = draws(signature(spec(50, dtype="int32")), {"x": told}, ())
    assert values(draw, "large", 2, 50).max() == 2


def test_bytes_use_their_whole_range() -> None:
    drawn = values(Draw(spec(9, dtype="uint8")), "typical", 500, 9)
    assert (drawn.min(), drawn.max(), drawn.dtype) == (0, 255, np.uint8)


def test_bools_are_bools() -> None:
    drawn = values(Draw(spec(9, dtype="bool")), "typical", 50, 9)
    assert drawn.dtype == np.bool_
    assert set(np.unique(drawn)) == {False, True}
    assert values(Draw(spec(9, dtype="bool")), "ones", 5, 9).all()


def test_words_come_from_the_vocabulary_and_one_does_not() -> None:
    reading = Reading("look_up", "vocabulary", is_direct=True, words=("[UNK]", "a", "b"))
    (draw,) = draws(signature(spec(50, dtype="string")), {"x": [reading]}, ())
    assert set(values(draw, "typical", 7, 50).ravel()) == {b"[UNK]", b"a", b"b", b"kedge-unknown-word"}


def test_a_vocabulary_that_takes_no_other_word_is_given_none() -> None:
    strict = Reading("look_up", "vocabulary", is_direct=True, words=("a", "b"), takes_unknown=False)
    lenient = Reading("other", "vocabulary", is_direct=True, words=("c",))
    (draw,) = draws(signature(spec(50, dtype="string")), {"x": [lenient, strict]}, ())
    assert set(values(draw, "typical", 7, 50).ravel()) == {b"a", b"b"}


def test_one_row_comes_first_and_then_the_users_data() -> None:
    data = {"x": np.zeros((9, 3), np.float32)}
    cases = make_cases([Draw(spec(3))], (1,), data, seed=0, fixed_batch=None)
    assert [case.name for case in cases[:3]] == ["typical-1", "data-7", "data-9"]


def test_rows_of_the_users_data_are_part_of_the_proof() -> None:
    data = {"x": np.arange(300, dtype=np.float32).reshape(100, 3)}
    few, case = make_cases([Draw(spec(3))], (1,), data, seed=0, fixed_batch=None)[1:3]
    assert (few.name, case.name) == ("data-7", "data-32")
    assert case.inputs["x"][0, 0] == 0
    assert case.inputs["x"][-1, -1] == 299


def test_little_data_is_taken_whole() -> None:
    case = make_cases([Draw(spec(3))], (1,), {"x": np.zeros((2, 3), np.float32)}, seed=0, fixed_batch=None)[1]
    assert case.name == "data-2"


def answered(name: str, rows: int, floats: int) -> Case:
    return Case(name, {"x": np.zeros((rows, floats), np.float32)}, {"y": np.zeros((rows, 1), np.float32)})


def test_golden_answers_are_of_mixed_kinds() -> None:
    cases = [
        answered(name, int(name[-1]), 10)
        for name in ("typical-1", "typical-2", "zeros-2", "ones-2", "large-8", "constant-8")
    ]
    assert [case.name for case in golden_cases(cases)] == ["typical-2", "zeros-2", "constant-8"]


def test_golden_answers_are_bounded_but_never_none() -> None:
    big = 1 << 19  # 2 MB a row
    cases = [answered(name, int(name[-1]), big) for name in ("typical-1", "typical-2", "zeros-2", "large-8")]
    assert [case.name for case in golden_cases(cases)] == ["typical-1"]
