"""Altered copies of SavedModels: another Const, or another tensor for an output, in `saved_model.pb`."""

from pathlib import Path

import tensorflow as tf  # noqa: TID253 (this and the following: the module of this format)
from tensorflow.core.framework.node_def_pb2 import NodeDef  # noqa: TID253

from kedge_bundle.manifest import Artifact
from kedge_exporter.copies import NoWeight, Weight, wire
from kedge_exporter.copies.flow import head_behind, makers, weights
from kedge_exporter.copies.saved_model_file import NODES, SavedModelFile, serialized
from kedge_exporter.copies.scaling import scaled
from kedge_exporter.formats.flat_saved_model import SIGNATURE


def changed_weight(directory: Path, artifact: Artifact, into: Path, factor: float) -> Weight:
    """Write `saved_model.pb` with another Const. See `copies.changed_weight`."""
    file = SavedModelFile(wire.opened(directory / artifact.main_path), SIGNATURE)
    for name in weights(file.flow(tuple(artifact.outputs.values()))):
        path = file.places[name]
        node = NodeDef.FromString(wire.content(file.data, path[-1]))
        changed = scaled(tf.make_ndarray(node.attr["value"].tensor), factor)
        if changed is None:
            continue
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(changed))
        wire.write(into / artifact.main_path, file.data, [wire.Edit(path, serialized(node))])
        return Weight(node.name, changed.shape)
    raise NoWeight(f"'{artifact.main_path}' has no weight of its own that one part in a thousand changes")


def without_heads(directory: Path, artifact: Artifact, into: Path, outputs: tuple[str, ...]) -> dict[str, str]:
    """Write `saved_model.pb` with outputs that are what their heads are given. See `copies.without_heads`.

    The heads stay, for whoever reads their answers inside; TensorFlow does not run what nobody asks for.
    """
    file = SavedModelFile(wire.opened(directory / artifact.main_path), SIGNATURE)
    made_by = makers(file.graph.steps)
    tensors: dict[str, str] = {}
    edits = []
    for output in outputs:
        own = artifact.outputs[output]
        path = head_behind(file.answer(own), made_by) if file.is_float(own) else None
        if path is not None:
            nodes = [NodeDef.FromString(wire.content(file.data, file.graph.nodes[step.index].field)) for step in path]
            tensors[own], copied = _around_head(nodes, len(tensors))
            edits += [wire.Edit(file.graph.path, wire.encoded(NODES, node), is_added=True) for node in copied]
    if tensors:
        wire.write(into / artifact.main_path, file.data, [*edits, file.with_answers(tensors)])
    return {output: artifact.outputs[output] for output in outputs if artifact.outputs[output] in tensors}


def _around_head(path: list[NodeDef], number: int) -> tuple[str, list[bytes]]:
    """The tensor of the logits, `node:0`, and copies of what stands behind the head, which hand them on to it."""
    head, *behind = path
    reference = head.input[0]
    for node in behind:
        node.name = f"{node.name}/logits_{number}"  # names are paths, and no node of ours ends like this
        node.input[0] = reference
        reference = node.name
    tensor = reference if ":" in reference else f"{reference}:0"
    return tensor, [serialized(node) for node in behind]
