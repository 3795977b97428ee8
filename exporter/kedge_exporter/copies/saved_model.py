"""Altered copies of SavedModels: another Const, or another way to an output, in a function of `saved_model.pb`."""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf  # noqa: TID253 (this and the following: the module of this format)
from tensorflow.core.framework.function_pb2 import FunctionDef  # noqa: TID253
from tensorflow.core.framework.node_def_pb2 import NodeDef  # noqa: TID253

from kedge_bundle.manifest import Artifact
from kedge_exporter.copies import NoWeight, Weight, wire
from kedge_exporter.copies.flow import head_behind, makers, weights
from kedge_exporter.copies.saved_model_file import NODES, Function, SavedModelFile
from kedge_exporter.copies.scaling import scaled
from kedge_exporter.formats.saved_model import SIGNATURE


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
        wire.write(into / artifact.main_path, file.data, [wire.Edit(path, _serialized(node))])
        return Weight(node.name, changed.shape)
    raise NoWeight(f"'{artifact.main_path}' has no weight of its own that one part in a thousand changes")


def without_heads(directory: Path, artifact: Artifact, into: Path, outputs: tuple[str, ...]) -> dict[str, str]:
    """Write `saved_model.pb` with functions that answer what their heads are given. See `copies.without_heads`.

    The heads stay, for whoever reads their answers inside; TensorFlow drops them where nobody does.
    """
    file = SavedModelFile(wire.opened(directory / artifact.main_path), SIGNATURE)
    logits, edits = {}, []
    for output in outputs:
        own = artifact.outputs[output]
        function, number = file.answering(own)
        if file.is_float(own) and (edited := list(_around_head(file, function, number))):
            logits[output] = own
            edits += edited
    if logits:
        wire.write(into / artifact.main_path, file.data, edits)
    return logits


def _around_head(file: SavedModelFile, function: Function, number: int) -> Iterator[wire.Edit]:
    """The edits that let a function answer the logits, and hand them on as it did its head's values; none: no head."""
    answer = function.returns[number]
    path = head_behind(function.tensor(answer.reference), makers(function.steps))
    if path is None:
        return
    head, *behind = (NodeDef.FromString(wire.content(file.data, function.nodes[step.index].field)) for step in path)
    reference = head.input[0]
    if not behind:
        identity = NodeDef(name=head.name, op="Identity", input=[reference])
        identity.attr["T"].CopyFrom(head.attr["T"])
        behind = [identity]
        outputs = ["output:0"]
    else:
        followers = [*(node.input[0] for node in behind[1:]), answer.reference]
        outputs = [follower.partition(":")[2] for follower in followers]
    for node, output in zip(behind, outputs, strict=True):
        node.name = f"{node.name}/logits_{number}"  # names are paths, and no node of ours ends like this
        node.input[0] = reference
        reference = f"{node.name}:{output}"
        yield wire.Edit(function.path, wire.encoded(NODES, _serialized(node)), is_added=True)
    entry = FunctionDef.RetEntry(key=answer.name, value=reference)
    yield wire.Edit((*function.path, answer.field), _serialized(entry))


def _serialized(message: NodeDef | FunctionDef.RetEntry) -> bytes:
    """A message as bytes, its maps in the order of their keys."""
    return bytes(message.SerializeToString(deterministic=True))
