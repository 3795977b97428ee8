"""Which weight is chosen, and where heads are found, on graphs of a few steps."""

import numpy as np
import pytest

from kedge_exporter.copies.flow import Constant, Flow, Step, head_behind, makers, weights
from kedge_exporter.copies.scaling import scaled

KERNEL, SMALLER, VECTOR, SCALAR = (Constant("float32", shape) for shape in ((4, 4), (4, 2), (4,), ()))


def step(op: str, reads: str, makes: str) -> Step:
    return Step(op, tuple(reads.split()), tuple(makes.split()))


def chosen(steps: list[Step], constants: dict[str, Constant], *outputs: str) -> list[str]:
    return list(dict.fromkeys(weights(Flow(steps, constants, list(outputs)))))


def test_the_last_kernel_comes_first_whatever_the_order_of_the_file():
    steps = [step("MatMul", "hidden w2", "y"), step("Relu", "sum", "hidden"), step("MatMul", "x w1", "sum")]
    assert chosen(steps, {"w1": KERNEL, "w2": SMALLER}, "y") == ["w2", "w1"]


def test_the_widest_input_of_a_kernel_is_the_weight():
    steps = [step("LSTM", "x w r b", "y")]
    constants = {"w": SMALLER, "r": KERNEL, "b": Constant("float32", (1, 1))}
    assert chosen(steps, constants, "y") == ["r"]


def test_a_kernel_before_all_outputs_is_preferred_then_one_of_the_first():
    steps = [
        step("Conv", "x trunk", "t"), step("MatMul", "t left", "a"), step("MatMul", "t right", "b"),
    ]  # fmt: skip
    constants = {"trunk": SMALLER, "left": KERNEL, "right": KERNEL}
    assert chosen(steps, constants, "a", "b") == ["trunk", "left", "right"]
    assert chosen(steps[1:], constants, "b", "a") == ["right", "left"]


def test_what_leads_to_no_output_is_no_weight():
    steps = [step("MatMul", "x w", "y"), step("MatMul", "y unread", "z")]
    assert chosen(steps, {"w": KERNEL, "unread": KERNEL}, "y") == ["w"]


def test_weights_are_found_through_casts_and_across_functions():
    steps = [step("Cast", "w", "half"), step("Identity", "half", "body|w"), step("MatMul", "x body|w", "y")]
    assert chosen(steps, {"w": KERNEL}, "y") == ["w"]


def test_without_a_kernel_the_largest_constant_of_arithmetic_is_the_weight():
    steps = [step("Sub", "x mean", "centred"), step("Mul", "centred table", "scaled"), step("Add", "scaled one", "y")]
    constants = {"mean": VECTOR, "table": KERNEL, "one": SCALAR}
    assert chosen(steps, constants, "y") == ["table", "mean"]


@pytest.mark.parametrize(
    "constant", [Constant("int64", (4, 4)), Constant("bfloat16", (4, 4)), Constant("float32", (0, 4))]
)
def test_constants_that_one_part_in_a_thousand_does_not_change_are_no_weights(constant: Constant):
    assert chosen([step("MatMul", "x w", "y")], {"w": constant}, "y") == []


def test_sizes_for_a_resize_are_no_weights():
    assert chosen([step("Resize", "x roi scales", "y")], {"scales": VECTOR}, "y") == []


def test_a_deep_graph_is_no_trouble():
    steps = [step("Add", f"t{number}", f"t{number + 1}") for number in range(5000)]
    assert chosen([step("MatMul", "x w", "t0"), *steps], {"w": KERNEL}, "t5000") == ["w"]


def test_a_head_is_found_behind_what_hands_it_on():
    steps = [step("Softmax", "logits", "p"), step("Reshape", "p shape", "q"), step("Cast", "q", "y")]
    assert head_behind("y", makers(steps)) == steps
    assert head_behind("p", makers(steps)) == steps[:1]


def test_a_softmax_that_others_compute_with_is_no_head():
    steps = [step("Softmax", "scores", "attention"), step("MatMul", "attention values", "y")]
    assert head_behind("y", makers(steps)) is None
    assert head_behind("x", makers(steps)) is None


def test_scaling_keeps_dtype_and_shape_and_says_when_nothing_changes():
    for dtype in (np.float16, np.float32, np.float64):
        values = np.linspace(-2, 2, 24, dtype=dtype).reshape(4, 6)
        changed = scaled(values, 1.001)
        assert changed is not None
        assert (changed.dtype, changed.shape) == (values.dtype, values.shape)
        assert (changed != values).sum() == np.count_nonzero(values)
    assert scaled(np.zeros(3, np.float32), 1.001) is None
    assert scaled(np.full(3, np.nan, np.float32), 1.001) is None
