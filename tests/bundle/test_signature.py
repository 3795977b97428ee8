import numpy as np
import pytest
from pydantic import ValidationError

from kedge_bundle.signature import Signature, TensorSpec, describe_shape, row_count

IMAGE = TensorSpec(name="pixels", dtype="float32", shape=(None, 28, 28, 1))
SIGNATURE = Signature(
    inputs=(IMAGE, TensorSpec(name="age", dtype="int64", shape=(None, 1))),
    outputs=(TensorSpec(name="y", dtype="float32", shape=(None, 10)),),
)


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


def test_inputs_that_fit_have_no_violation():
    assert SIGNATURE.input_violations({"pixels": zeros(4, 28, 28, 1), "age": zeros(4, 1, dtype="int64")}) == []


def test_every_violation_is_named_at_once():
    found = SIGNATURE.input_violations({"pixels": zeros(4, 28, 28, dtype="float64"), "ages": zeros(4, 1)})
    text = "\n".join(violation.description for violation in found)
    assert [violation.field for violation in found] == ["ages", "pixels", "pixels", "age"]
    assert "the model has no such input; it has 'pixels', 'age'" in text
    assert "expected dtype float32, got float64" in text
    assert "expected shape [batch, 28, 28, 1], got [4, 28, 28]; is the channel axis missing?" in text
    assert "input 'age': missing; expected int64 of shape [batch, 1]" in text


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((4, 28, 28), "is the channel axis missing?"),
        ((28, 28, 1), "is the batch axis missing?"),
        ((4, 1, 28, 28), "are the channels first instead of last?"),
    ],
)
def test_a_wrong_shape_comes_with_the_likely_cause(shape: tuple[int, ...], hint: str):
    (violation,) = IMAGE.violations(zeros(*shape))
    assert violation.description.endswith(hint)


def test_channels_last_sent_to_a_channels_first_model_is_recognised():
    spec = TensorSpec(name="pixels", dtype="float32", shape=(None, 3, 8, 8))
    (violation,) = spec.violations(zeros(2, 8, 8, 3))
    assert violation.description.endswith("are the channels last instead of first?")


def test_no_rows_are_refused():
    (violation,) = IMAGE.violations(zeros(0, 28, 28, 1))
    assert "at least one row" in violation.description


def test_inputs_with_different_row_counts_are_refused():
    found = SIGNATURE.input_violations({"pixels": zeros(4, 28, 28, 1), "age": zeros(3, 1, dtype="int64")})
    assert {violation.field for violation in found} == {"pixels", "age"}
    assert "'pixels' has 4, 'age' has 3" in found[0].description


def test_a_fixed_batch_is_part_of_the_shape():
    spec = TensorSpec(name="x", dtype="float32", shape=(2, 3))
    assert spec.violations(zeros(2, 3)) == []
    assert len(spec.violations(zeros(4, 3))) == 1


def test_two_tensors_cannot_share_a_name():
    with pytest.raises(ValidationError, match="share a name"):
        Signature(inputs=(IMAGE, IMAGE), outputs=SIGNATURE.outputs)


def test_a_signature_needs_inputs_and_outputs():
    with pytest.raises(ValidationError):
        Signature(inputs=(), outputs=SIGNATURE.outputs)


def test_strings_are_object_arrays():
    spec = TensorSpec(name="word", dtype="string", shape=(None,))
    assert spec.violations(np.array([b"a", b"b"], object)) == []
    (violation,) = spec.violations(zeros(2))
    assert "expected dtype string, got float32" in violation.description


def test_shapes_read_well():
    assert describe_shape((None, None, 3), first="batch") == "[batch, ?, 3]"
    assert row_count({"x": zeros(5, 2)}) == 5
