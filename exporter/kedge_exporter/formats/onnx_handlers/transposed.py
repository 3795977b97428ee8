"""Transposed convolutions: TensorFlow says how large the answer is, ONNX how much of it is cut off and added.

tf2onnx writes what is to be added as pads below zero, which ONNX forbids, and reads a computed size as the answer's
own, which counts the padding of its end twice.
"""

from typing import Any

from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import NoOnnxForm, Rewriting

_FIRST = "NC"
"""How the names of formats with the channels in front begin."""


def convolution_transposed(new: Rewriting) -> str:
    """`Conv2DBackpropInput(sizes, kernel, answers)` and `Conv3DBackpropInputV2`, channels last.

    Of the whole answer, as long as the kernel reaches, TensorFlow leaves out half of what is too much at either end,
    and the odd one at the far end; what is missing are zeros at the far end, always fewer than the stride.
    """
    sizes, kernel, images, *bias = new.inputs  # the last of which tf2onnx has taken from a BiasAdd
    shape, reach = new.shape(images), new.shape(kernel)
    is_first = new.attribute("data_format", b"NHWC").decode().startswith(_FIRST)
    if shape is None or reach is None or min(reach) < 0 or is_first:
        raise NoOnnxForm("has a form in ONNX only with the channels last and a kernel of known size")
    space = len(shape) - 2
    strides, dilations = _along(new, "strides", space), _along(new, "dilations", space)
    settings: dict[str, Any] = {"strides": strides, "dilations": dilations, "kernel_shape": reach[:space]}
    parts = (
        new.add("Transpose", images, perm=[0, space + 1, *range(1, space + 1)]),
        new.add("Transpose", kernel, perm=[space + 1, space, *range(space)]),
        *bias,
    )
    to_end = [0, *range(2, space + 2), 1]
    answer = (new.shape(new.node.output[0]) or [-1] * (space + 2))[1:-1]
    starts = _given_starts(new, space)
    if min(*shape[1:-1], *answer) >= 0:
        spans = [(size - 1) * dilation + 1 for size, dilation in zip(reach[:space], dilations, strict=True)]
        whole = [(size - 1) * s + span for size, s, span in zip(shape[1:-1], strides, spans, strict=True)]
        extra = [most - wanted for most, wanted in zip(whole, answer, strict=True)]
        starts = [max(count, 0) // 2 for count in extra] if starts is None else starts
        ends = [count - start for count, start in zip(extra, starts, strict=True)]
        settings["pads"] = starts + [max(end, 0) for end in ends]
        settings["output_padding"] = [max(-end, 0) for end in ends]
        return new.add("Transpose", new.add("ConvTranspose", *parts, **settings), perm=to_end)
    settings["output_padding"] = [stride - 1 for stride in strides]
    whole_answer = new.add("Transpose", new.add("ConvTranspose", *parts, **settings), perm=to_end)
    return _middle(new, whole_answer, sizes, starts)


def _given_starts(new: Rewriting, space: int) -> list[int] | None:
    """How much is cut off in front, where that is said."""
    if new.attribute("padding") != b"EXPLICIT":
        return None
    return [int(number) for number in new.attribute("explicit_paddings")[2 : 2 * space + 2 : 2]]


def _along(new: Rewriting, name: str, space: int) -> list[int]:
    """An attribute that has a number for each axis: those of height, width and the like."""
    return [int(number) for number in new.attribute(name, [1] * (space + 2))[1:-1]]


def _middle(new: Rewriting, whole: str, given: str, starts: list[int] | None) -> str:
    """What TensorFlow keeps of an answer that ends with `stride - 1` zeros on each axis, by sizes of the run."""
    space = len(new.attribute("strides")) - 2
    first, last = new.constant([1], "int64"), new.constant([space + 1], "int64")
    sizes = new.cast(given, TensorProto.INT64)
    if new.shape(given) != [space]:  # Conv2DBackpropInput takes the whole shape, or height and width alone
        sizes = new.add("Slice", sizes, first, last)
    if starts is None:
        lengths = new.add("Slice", new.add("Shape", whole), first, last)
        zeros = new.constant([stride - 1 for stride in _along(new, "strides", space)], "int64")
        extra = new.add("Sub", new.add("Sub", lengths, zeros), sizes)
        cut = new.add("Max", extra, new.constant([0], "int64"))
        begin = new.add("Div", cut, new.constant([2], "int64"))
    else:
        begin = new.constant(starts, "int64")
    axes = new.constant(list(range(1, space + 1)), "int64")
    return new.add("Slice", whole, begin, new.add("Add", begin, sizes), axes)
