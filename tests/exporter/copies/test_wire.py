"""Edits of protobuf files, against the messages of `onnx`."""

from pathlib import Path

import pytest
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from kedge_exporter.copies import wire

_GRAPH, _NODE, _INITIALIZER, _NAME = 7, 1, 5, 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model with a few fields of every kind of the wire format."""
    attributes = [AttributeProto(name="alpha", type=AttributeProto.FLOAT, f=0.5)]
    nodes = [NodeProto(name=f"node{number}", op_type="Neg", attribute=attributes) for number in range(3)]
    tensor = TensorProto(name="weight", dims=[70], data_type=TensorProto.DOUBLE, double_data=[1.5] * 70)
    graph = GraphProto(name="graph", node=nodes, initializer=[tensor])
    model = ModelProto(ir_version=10, producer_name="tests", graph=graph, model_version=1 << 40)
    (tmp_path / "model").write_bytes(model.SerializeToString())
    return tmp_path / "model"


def edited(path: Path, *edits: wire.Edit) -> ModelProto:
    with wire.opened(path) as data:
        wire.write(path.with_name("edited"), data, edits)
    return ModelProto.FromString(path.with_name("edited").read_bytes())


def graph_and(path: Path, number: int) -> tuple[wire.Field, list[wire.Field]]:
    with wire.opened(path) as data:
        graph = next(wire.fields(data, None, _GRAPH))
        return graph, list(wire.fields(data, graph, number))


def test_nothing_edited_is_the_same_file(path: Path):
    edited(path)
    assert path.with_name("edited").read_bytes() == path.read_bytes()


def test_fields_hold_what_the_message_holds(path: Path):
    _, nodes = graph_and(path, _NODE)
    with wire.opened(path) as data:
        names = [NodeProto.FromString(wire.content(data, node)).name for node in nodes]
        assert names == ["node0", "node1", "node2"]
        assert [field.number for field in wire.fields(data)] == [_NAME, _GRAPH]


@pytest.mark.parametrize("length", [0, 1, 30, 127, 128, 20_000])
def test_a_replaced_field_may_have_any_length(path: Path, length: int):
    """Its length, and those of the messages around it, take more bytes or fewer."""
    before = ModelProto.FromString(path.read_bytes())
    graph, nodes = graph_and(path, _NODE)
    node = NodeProto(name="x" * length)
    after = edited(path, wire.Edit((graph, nodes[1]), node.SerializeToString()))
    before.graph.node[1].CopyFrom(node)
    assert after == before


def test_several_edits_at_once(path: Path):
    before = ModelProto.FromString(path.read_bytes())
    graph, nodes = graph_and(path, _NODE)
    _, weights = graph_and(path, _INITIALIZER)
    first, added = NodeProto(name="first", op_type="Abs"), NodeProto(name="added")
    after = edited(
        path,
        wire.Edit((graph, weights[0]), TensorProto(name="other").SerializeToString()),
        wire.Edit((graph,), wire.encoded(_NODE, added.SerializeToString()), is_added=True),
        wire.Edit((graph, nodes[0]), first.SerializeToString()),
    )
    before.graph.node[0].CopyFrom(first)
    before.graph.node.append(added)
    before.graph.initializer[0].CopyFrom(TensorProto(name="other"))
    assert after == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x0b", "unknown kind 3"),
        (b"\x0a\x05ab", "3 bytes beyond"),
        (b"\x08\xff\xff", "without an end"),
        (b"\x09\x00", "7 bytes beyond"),
    ],
)
def test_what_is_no_message_is_said_to_be_none(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "broken").write_bytes(content)
    with wire.opened(tmp_path / "broken") as data, pytest.raises(ValueError, match=reason):
        list(wire.fields(data))
