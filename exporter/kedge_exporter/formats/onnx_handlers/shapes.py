"""`BroadcastArgs`: the shape that two shapes broadcast to."""

from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import NoOnnxForm, Rewriting


def broadcast_args(new: Rewriting) -> str:
    """Both shapes are vectors of known length; the shorter one gets ones in front."""
    lengths = []
    for tensor in new.inputs:
        shape = new.shape(tensor)
        if shape is None or shape[0] < 0:
            raise NoOnnxForm("needs inputs of known rank", "give the model's inputs a shape")
        lengths.append(shape[0])
    rank = max(lengths)
    sides = []
    for tensor, length in zip(new.inputs, lengths, strict=True):
        wide = new.cast(tensor, TensorProto.INT64)
        if length < rank:
            wide = new.add("Concat", new.constant([1] * (rank - length), "int64"), wide, axis=0)
        sides.append(wide)
    is_one = new.add("Equal", sides[0], new.constant([1], "int64"))
    return new.cast(new.add("Where", is_one, sides[1], sides[0]), new.dtype(new.node.output[0]))
