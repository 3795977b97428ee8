import numpy as np
import pytest

from kedge_bundle.comparison import Limits
from kedge_bundle.signature import Signature, Tensors, TensorSpec, Violation
from kedge_bundle.stats import InputStats
from kedge_server.errors import InvalidInput
from kedge_server.validation import Contract, OutputCount, Policy, check_inputs, check_outputs, nonfinite_outputs

IMAGE = TensorSpec(name="image", dtype="float32", shape=(None, 2, 2, 1))
AGE = TensorSpec(name="age", dtype="int64", shape=(None, 1))
OUTPUTS = tuple(TensorSpec(name=name, dtype="float32", shape=(None, 3)) for name in ("scores", "embedding"))
CONTRACT = Contract(Signature(inputs=(IMAGE, AGE), outputs=OUTPUTS))
SEEN = InputStats(input="age", source="data", n=9, mean=(40.0,), std=(10.0,), min=(18.0,), max=(80.0,))
WATCHED = Contract(CONTRACT.signature, (SEEN,))


def inputs(rows: int = 2, age: float = 40) -> Tensors:
    return {"image": np.zeros((rows, 2, 2, 1), np.float32), "age": np.full((rows, 1), age, np.int64)}


def sentences(tensors: Tensors, contract: Contract = CONTRACT, policy: Policy | None = None, **more: object) -> str:
    report = check_inputs(tensors, contract, policy or Policy(), **more)  # type: ignore[arg-type]
    return "\n".join(violation.description for violation in report.violations)


def test_a_good_request_has_its_rows_counted():
    report = check_inputs(inputs(3), CONTRACT, Policy())
    report.raise_if_refused()
    assert (report.rows, report.values, report.nonfinite) == (3, {"image": 12, "age": 3}, {})


def test_every_violation_is_in_one_error():
    tensors = {
        "image": np.zeros((2, 2, 2), np.float32),
        "agee": np.zeros((2, 1), np.int64),
    }
    with pytest.raises(InvalidInput) as caught:
        check_inputs(tensors, CONTRACT, Policy(), outputs=("scores", "z")).raise_if_refused()
    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["agee", "image", "age", "z"]
    for part in ("no such input", "expected shape [batch, 2, 2, 1], got [2, 2, 2]", "missing", "no such output"):
        assert part in str(caught.value)


def test_an_input_that_could_not_be_decoded_is_not_missing_as_well():
    decoding = (Violation("age", "input 'age': expected 16 bytes, got 3"),)
    tensors = {"image": np.zeros((2, 2, 2), np.float32)}
    report = check_inputs(tensors, CONTRACT, Policy(), decoding=decoding)
    assert [violation.field for violation in report.violations] == ["age", "image"]
    assert "expected shape" in report.violations[1].description


def test_a_decoding_violation_alone_refuses():
    report = check_inputs(inputs(), CONTRACT, Policy(), decoding=(Violation("id", "twice"),))
    assert [violation.field for violation in report.violations] == ["id"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_refused_with_their_place(bad: float):
    tensors = inputs()
    tensors["image"][1, 0, 1, 0] = bad  # type: ignore[index]
    report = check_inputs(tensors, CONTRACT, Policy())
    assert report.nonfinite == {"image": 1}
    (violation,) = report.violations
    assert violation.field == "image"
    assert f"got 1 of 8 that are NaN or infinite; the first is {bad} at [1, 0, 1, 0]" in violation.description


def test_non_finite_values_are_only_counted_where_the_policy_observes():
    tensors = inputs()
    tensors["image"][:] = np.nan  # type: ignore[index]
    report = check_inputs(tensors, CONTRACT, Policy(nonfinite_inputs="observe"))
    assert report.violations == []
    assert report.nonfinite == {"image": 8}


def test_values_unlike_training_are_observed_by_default():
    report = check_inputs(inputs(age=300), WATCHED, Policy())
    report.raise_if_refused()
    assert {violation.kind for violation in report.stat_violations} == {"above-range", "z-score"}


def test_values_unlike_training_are_refused_with_input_feature_value_and_what_training_saw():
    refusal = sentences(inputs(age=300), WATCHED, Policy(input_stats="reject"))
    assert "input 'age', feature 0: 300 (above-range); training saw 18 to 80" in refusal
    assert "300 (z-score); training saw mean 40, std 10" in refusal


def test_statistics_can_be_off():
    report = check_inputs(inputs(age=300), WATCHED, Policy(input_stats="off"))
    assert (report.stat_violations, report.violations) == ((), [])


def test_the_limits_of_the_policy_are_used():
    policy = Policy(input_stats="reject", limits=Limits(margin=10, z_score=100))
    assert sentences(inputs(age=300), WATCHED, policy) == ""


def test_nan_under_statistics_follows_the_policy_of_non_finite_values():
    stats = InputStats(input="image", axis=None, source="data", n=9, min=(0.0,), max=(1.0,))
    contract = Contract(CONTRACT.signature, (stats,))
    tensors = inputs()
    tensors["image"][0, 0, 0, 0] = np.nan  # type: ignore[index]
    policy = Policy(nonfinite_inputs="observe", input_stats="reject")
    report = check_inputs(tensors, contract, policy)
    assert [violation.kind for violation in report.stat_violations] == ["nonfinite"]
    assert report.violations == []


def test_statistics_of_an_input_of_the_wrong_shape_are_not_asked():
    tensors = inputs() | {"age": np.full((2, 7), 300)}
    report = check_inputs(tensors, WATCHED, Policy(input_stats="reject"))
    assert report.stat_violations == ()
    assert ["expected shape" in violation.description for violation in report.violations] == [True]


@pytest.mark.parametrize("axis", [-1, None])
def test_an_input_that_is_empty_along_a_free_axis_is_like_any_training(axis: int | None):
    spec = TensorSpec(name="x", dtype="float32", shape=(None, None, 2))
    stats = InputStats(input="x", axis=axis, source="data", mean=(0.0,), std=(1.0,))
    contract = Contract(Signature(inputs=(spec,), outputs=(spec,)), (stats,))
    report = check_inputs({"x": np.zeros((3, 0, 2), np.float32)}, contract, Policy(input_stats="reject"))
    assert (report.rows, report.stat_violations, report.violations) == (3, (), [])


def test_more_rows_than_the_queue_holds_are_refused_with_the_limit():
    assert "has 9 rows; this server takes 8 at most" in sentences(inputs(9), policy=Policy(max_rows=8))
    assert sentences(inputs(8), policy=Policy(max_rows=8)) == ""


def test_rows_that_do_not_fill_a_fixed_batch_are_refused():
    contract = Contract(CONTRACT.signature, batch=4)
    assert "runs 4 rows at a time" in sentences(inputs(6), contract)
    assert sentences(inputs(8), contract) == ""


def test_inputs_must_agree_on_their_rows():
    tensors = inputs(2) | {"age": np.zeros((3, 1), np.int64)}
    assert "differ in their number of rows: 'image' has 2, 'age' has 3" in sentences(tensors)


def test_no_rows_are_refused():
    assert "expected at least one row, got none" in sentences(inputs(0))


def test_a_model_without_a_batch_axis_counts_as_one_row():
    scalar = TensorSpec(name="x", dtype="float32", shape=())
    contract = Contract(Signature(inputs=(scalar,), outputs=(scalar,)))
    report = check_inputs({"x": np.array(np.nan, np.float32)}, contract, Policy())
    assert "1 of 1 that are NaN or infinite; the first is nan at []" in report.violations[0].description
    assert check_inputs({"x": np.array(1, np.float32)}, contract, Policy()).rows == 1


def test_strings_and_integers_are_never_non_finite():
    spec = TensorSpec(name="x", dtype="string", shape=(None,))
    contract = Contract(Signature(inputs=(spec,), outputs=(spec,)))
    report = check_inputs({"x": np.array([b"nan", b"inf"], object)}, contract, Policy())
    assert (report.violations, report.values, report.nonfinite) == ([], {"x": 2}, {})


def test_strings_that_are_no_utf_8_are_refused_only_where_the_artifact_cannot_carry_them():
    spec = TensorSpec(name="x", dtype="string", shape=(None, 2))
    signature = Signature(inputs=(spec,), outputs=(spec,))
    tensors = {"x": np.array([[b"a\0b", "é".encode()], [b"good", b"b\xffd"]], object)}
    refusal = sentences(tensors, Contract(signature, strings="utf-8"))
    assert refusal.startswith("input 'x': expected strings in UTF-8")
    assert refusal.endswith("got the byte 0xff in the string at [1, 1]")
    assert sentences(tensors, Contract(signature, strings="bytes")) == ""
    assert sentences({"x": tensors["x"][:1]}, Contract(signature, strings="utf-8")) == ""


def test_outputs_are_counted_by_name_and_kind():
    counts = check_outputs(
        {
            "good": np.ones(3, np.float32),
            "bad": np.array([np.nan, np.inf, -np.inf, 1], np.float32),
            "classes": np.array([1, 2]),
        }
    )
    assert counts == {"good": OutputCount(3), "bad": OutputCount(4, nan=1, inf=2), "classes": OutputCount(2)}
    assert nonfinite_outputs(counts) == "output 'bad' holds 1 NaN and 2 infinite of 4 values"
    assert nonfinite_outputs({"good": OutputCount(3)}) == ""
