"""Zeros in front of a maximum pooling are not taken for its own padding, which is minus infinity."""

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kedge_exporter.formats.onnx_pools import keep_zeros

VALUES = np.full((1, 1, 2, 2), -3.0, np.float32)


def padded_pool(**settings: object) -> onnx.ModelProto:
    """A border of zeros, then the maximum of each 2x2 window."""
    shapes = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, size, size])
        for name, size in (("x", 2), ("y", 2))
    }
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("MaxPool", ["padded"], ["y"], kernel_shape=[2, 2], strides=[2, 2], **settings),
    ]
    pads = numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")
    graph = helper.make_graph(nodes, "pool", [shapes["x"]], [shapes["y"]], [pads])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def answer(model: onnx.ModelProto) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"x": VALUES})[0]
    return found


def test_onnxruntime_still_needs_it() -> None:
    assert (answer(padded_pool()) == -3).all(), "onnxruntime is mended: onnx_pools.py can go"


@pytest.mark.parametrize("settings", [{}, {"pads": [0, 0, 0, 0]}, {"auto_pad": "NOTSET"}, {"auto_pad": "VALID"}])
def test_zeros_around_a_maximum_pooling_stay_zeros(settings: dict[str, object]) -> None:
    model = padded_pool(**settings)
    keep_zeros(model.graph)
    onnx.checker.check_model(model, full_check=True)
    assert (answer(model) == 0).all()


@pytest.mark.parametrize("settings", [{"pads": [1, 1, 1, 1]}, {"ceil_mode": 1}, {"auto_pad": "SAME_UPPER"}])
def test_a_pooling_that_pads_or_rounds_up_is_left_as_it_is(settings: dict[str, object]) -> None:
    model = padded_pool(**settings)
    before = model.SerializeToString()
    keep_zeros(model.graph)
    assert model.SerializeToString() == before
