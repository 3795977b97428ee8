"""What the report draws of real Keras models, read in one process that has TensorFlow."""

import json
from typing import Any

import pytest

from kedge_exporter.report.data import GraphNode
from kedge_exporter.report.rails import rows_of
from tests.exporter.conftest import run_module

Graph = list[GraphNode]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    printed = run_module("tests.exporter.report.graphs", work=tmp_path_factory.mktemp("work"))
    found = json.loads(printed.splitlines()[-1])
    return {
        name: (
            [GraphNode(**{**node, "inputs": tuple(node["inputs"])}) for node in graph["nodes"]],
            graph["parameters"],
        )
        for name, graph in found.items()
    }


def reads(graph: Graph) -> dict[str, tuple[str, ...]]:
    return {node.name: node.inputs for node in graph}


def test_a_shortcut_is_read_a_second_time(graphs: dict[str, Any]):
    graph, parameters = graphs["residual"]
    assert reads(graph) == {
        "image": (), "first": ("image",), "second": ("first",), "sum": ("second", "first"),
    }  # fmt: skip
    assert [node.shape for node in graph] == ["[batch, 8, 8, 3]", *["[batch, 8, 8, 4]"] * 3]
    assert sum(node.parameters for node in graph) == parameters


def test_a_model_inside_is_opened_one_level_and_its_weights_count_once(graphs: dict[str, Any]):
    graph, parameters = graphs["nested"]
    assert reads(graph) == {
        "values": (),
        "inner/dense": ("values",),
        "inner/deepest": ("inner/dense",),
        "inner#2/dense": ("values",),
        "inner#2/deepest": ("inner#2/dense",),
        "sum": ("inner/deepest", "inner#2/deepest"),
    }
    assert sum(node.parameters for node in graph) == parameters
    assert {node.name: node.class_name for node in graph}["inner/deepest"] == "Sequential"


def test_a_shared_layer_stands_for_each_of_its_calls(graphs: dict[str, Any]):
    graph, parameters = graphs["shared"]
    assert reads(graph) == {
        "unread": (),
        "left": (),
        "dense": ("left",),
        "right": (),
        "dense#2": ("right",),
        "joined": ("dense", "dense#2"),
    }
    assert sum(node.parameters for node in graph) == parameters


def test_several_answers_of_one_layer_have_a_shape_each(graphs: dict[str, Any]):
    graph, _ = graphs["several_answers"]
    by_class = {node.class_name: node for node in graph}
    assert by_class["GRU"].shape == "[batch, ?, 4], [batch, 4]"
    assert by_class["Tanh"].inputs == by_class["Dense"].inputs == ("memory",)


def test_a_sequential_is_a_chain(graphs: dict[str, Any]):
    graph, _ = graphs["sequential"]
    assert reads(graph) == {"values": (), "one": ("values",), "two": ("one",)}


def test_a_subclassed_model_is_its_layers(graphs: dict[str, Any]):
    graph, parameters = graphs["subclassed"]
    assert [node.class_name for node in graph] == ["Dense", "Scale", "Dropout"]
    assert not any(node.inputs for node in graph)
    assert sum(node.parameters for node in graph) == parameters


def test_every_call_stands_behind_what_it_reads(graphs: dict[str, Any]):
    for graph, _ in graphs.values():
        names = [node.name for node in graph]
        assert len(set(names)) == len(names)
        for place, node in enumerate(graph):
            assert set(node.inputs) <= set(names[:place])
        assert len(rows_of(tuple(graph))) == len(graph)
