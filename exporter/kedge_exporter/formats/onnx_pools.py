"""Zeros around a maximum pooling stay zeros.

onnxruntime (1.31, at its default level) merges a Pad into the pooling behind it. A maximum pooling pads with minus
infinity, so wherever the values beside the border are negative the answers differ: all of ResNet50V2 was wrong. It
leaves a pooling alone whose `auto_pad` says that it pads nothing.
"""

from onnx import GraphProto, NodeProto, helper

_MAX_POOL = "MaxPool"
_NONE = ("NOTSET", "VALID")


def keep_zeros(graph: GraphProto) -> None:
    """Mark every MaxPool that pads nothing as one that pads nothing, in the bodies of loops as well."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                keep_zeros(attribute.g)
        if node.op_type == _MAX_POOL and _pads_nothing(node):
            kept = [attribute for attribute in node.attribute if attribute.name not in ("pads", "auto_pad")]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("auto_pad", "VALID")])


def _pads_nothing(node: NodeProto) -> bool:
    settings = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    auto_pad = settings.get("auto_pad", b"NOTSET").decode()
    # With ceil_mode the last window may reach over the border; VALID knows no such window.
    return auto_pad in _NONE and not any(settings.get("pads", ())) and not settings.get("ceil_mode", 0)
