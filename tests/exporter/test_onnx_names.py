"""Renaming the tensors of an ONNX graph keeps what it computes."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from kedge_exporter.formats.onnx_names import rename_tensors


def branching() -> onnx.ModelProto:
    """`out = x + bias if flag else x`, both branches reading `x` and `bias` from outside; `answer` is a name inside."""
    empty = helper.make_tensor_value_info

    def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
        return helper.make_graph([node], name, [], [empty(node.output[0], TensorProto.FLOAT, [None, 2])])

    then_branch = branch("then", helper.make_node("Add", ["x", "bias"], ["sum"]))
    else_branch = branch("else", helper.make_node("Identity", ["x"], ["same"]))
    nodes = [
        helper.make_node("If", ["flag"], ["answer"], then_branch=then_branch, else_branch=else_branch),
        helper.make_node("Neg", ["answer"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "branching",
        [empty("x", TensorProto.FLOAT, [None, 2]), empty("flag", TensorProto.BOOL, [])],
        [empty("out", TensorProto.FLOAT, [None, 2])],
        initializer=[helper.make_tensor("bias", TensorProto.FLOAT, [2], [1.0, 2.0])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def answers(model: onnx.ModelProto, names: tuple[str, str, str]) -> list[np.ndarray]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.array([[3.0, 4.0]], np.float32)
    value, flag, out = names
    return [np.asarray(session.run([out], {value: x, flag: np.array(chosen)})[0]) for chosen in (True, False)]


def test_inputs_and_outputs_are_renamed_inside_branches_too() -> None:
    model = branching()
    rename_tensors(model.graph, {"x": "pixels", "flag": "is on", "out": "digit"})
    assert [value.name for value in model.graph.input] == ["pixels", "is on"]
    np.testing.assert_array_equal(answers(model, ("pixels", "is on", "digit")), [[[-4, -6]], [[-3, -4]]])


def test_a_tensor_inside_that_has_the_new_name_makes_way() -> None:
    model = branching()
    rename_tensors(model.graph, {"x": "bias", "out": "answer"})
    np.testing.assert_array_equal(answers(model, ("bias", "flag", "answer")), [[[-4, -6]], [[-3, -4]]])


def test_two_tensors_can_trade_names() -> None:
    model = branching()
    rename_tensors(model.graph, {"x": "out", "out": "x"})
    np.testing.assert_array_equal(answers(model, ("out", "flag", "x")), [[[-4, -6]], [[-3, -4]]])
