"""The user's own samples take the model's names and dtypes, or a sentence says why not."""

from typing import Any

import numpy as np
import pytest

from kedge_bundle.errors import SamplesInvalid
from kedge_bundle.signature import Signature, TensorSpec
from kedge_exporter.user_data import fitted_data


def spec(*shape: int | None, dtype: str = "float32", batch: int | None = None) -> TensorSpec:
    return TensorSpec.model_validate({"name": "x", "dtype": dtype, "shape": (batch, *shape)})


def signature(*specs: TensorSpec) -> Signature:
    return Signature(inputs=specs, outputs=(TensorSpec(name="y", dtype="float32", shape=(None, 1)),))


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8"])
def test_samples_are_cast_where_no_value_changes(dtype: str) -> None:
    fitted, notes = fitted_data({"x": np.ones((4, 3), dtype)}, signature(spec(3)), "--data")
    assert fitted["x"].dtype == np.float32
    assert notes == ()


def test_whole_floats_become_integers_and_others_do_not() -> None:
    whole = {"x": np.full((4, 3), 2.0)}
    assert fitted_data(whole, signature(spec(3, dtype="int32")), "--data")[0]["x"].dtype == np.int32
    with pytest.raises(SamplesInvalid, match="input 'x' is int32 of shape"):
        fitted_data({"x": np.full((4, 3), 2.5)}, signature(spec(3, dtype="int32")), "--data")


@pytest.mark.parametrize(
    ("array", "dtype", "sentence"),
    [
        (np.full((4, 3), 2**33 + 5), "int32", "int64, would change"),
        (np.full((4, 3), 2**63, np.uint64), "int64", "uint64, would change"),
        (np.full((4, 3), -1), "uint64", "int64, would change"),
        (np.full((4, 3), 1e300), "float32", "float64, would change"),
        (np.full((4, 3), 70_000), "float16", "int64, would change"),
        (np.full((4, 3), np.nan), "int32", "float64, would change"),
        (np.full((4, 3), b"a", object), "float32", "the array is string"),
        (np.ones((4, 3), np.float32), "string", "the array is float32"),
        (np.zeros((4, 3), "M8[D]"), "float32", "the array is datetime64"),
        (np.ones((4, 3), np.complex64), "float32", "the array is complex64"),
        (np.zeros((4, 3), [("a", "f4")]), "float32", "the array is "),
    ],
)
def test_samples_that_a_cast_would_change_are_refused(array: np.ndarray[Any, Any], dtype: str, sentence: str) -> None:
    with pytest.raises(SamplesInvalid, match=rf"--data: input 'x' is {dtype} of shape \[batch, 3\].*{sentence}"):
        fitted_data({"x": array}, signature(spec(3, dtype=dtype)), "--data")


def test_samples_keep_their_own_nan_and_infinity() -> None:
    fitted, _ = fitted_data({"x": np.array([[1.0, np.nan, np.inf]])}, signature(spec(3)), "--data")
    assert np.array_equal(fitted["x"], np.array([[1.0, np.nan, np.inf]], np.float32), equal_nan=True)


def test_one_array_of_any_name_is_the_one_input() -> None:
    assert fitted_data({"arr_0": np.ones((4, 3))}, signature(spec(3)), "--data")[0].keys() == {"x"}


def test_arrays_that_are_no_inputs_are_named_and_left() -> None:
    fitted, notes = fitted_data({"x": np.ones((4, 3)), "labels": np.ones(4)}, signature(spec(3)), "--data s.npz")
    assert fitted.keys() == {"x"}
    assert notes == ("--data s.npz: the arrays ['labels'] are no inputs of the model and were not used",)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"image": np.ones((4, 3)), "labels": np.ones(4)}, r"expected the arrays \['x'\], got \['image', 'labels'\]"),
        ({"x": np.ones((4, 2))}, r"expected shape \[batch, 3\], got \[4, 2\]"),
        ({"x": np.ones((0, 3))}, "at least one row"),
    ],
)
def test_samples_that_do_not_fit_are_explained(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SamplesInvalid, match=sentence):
        fitted_data(data, signature(spec(3)), "--data s.npz")


def test_what_is_wrong_with_several_inputs_is_said_once() -> None:
    two = signature(spec(3), spec(3).model_copy(update={"name": "z"}))
    with pytest.raises(SamplesInvalid) as caught:
        fitted_data({"x": np.ones((4, 3)), "z": np.ones((5, 3))}, two, "--data")
    assert str(caught.value).count("differ in their number of rows") == 1


def test_any_number_of_samples_fits_a_fixed_batch() -> None:
    fitted, _ = fitted_data({"x": np.ones((9, 3))}, signature(spec(3, batch=4)), "--data")
    assert fitted["x"].shape == (9, 3)
    with pytest.raises(SamplesInvalid, match="expected shape"):
        fitted_data({"x": np.ones((9, 2))}, signature(spec(3, batch=4)), "--data")
