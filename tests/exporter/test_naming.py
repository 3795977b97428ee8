"""Names of tensors come from the Keras model; TensorFlow's arguments get plain ones."""

import pytest

from kedge_exporter.naming import argument_names, layer_of, place, scope_name, structure_names, unique


@pytest.mark.parametrize(
    ("paths", "given", "names"),
    [
        ([()], ["digit"], ["digit"]),
        ([(0,), (1,)], ["classifier", "reconstruction"], ["classifier", "reconstruction"]),
        ([("a",), ("z out",)], ["dense_1", "dense"], ["a", "z out"]),
        ([("boxes", 0), ("boxes", 1), ("id",)], ["x", "y", "z"], ["boxes_0", "boxes_1", "id"]),
        ([(0,), (1,), (2,)], ["lstm", "lstm", "lstm"], ["lstm", "lstm_1", "lstm_2"]),
    ],
)
def test_dict_keys_name_tensors_and_layers_do_where_there_are_none(
    paths: list[tuple[object, ...]], given: list[str], names: list[str]
) -> None:
    assert structure_names(paths, given) == names


def test_a_name_that_counting_would_make_twice_is_avoided() -> None:
    assert unique(["a", "a_1", "a"]) == ["a", "a_1", "a_2"]


def test_plain_names_are_arguments_as_they_are() -> None:
    assert argument_names(["pixel_input", "x"]) == {"pixel_input": "pixel_input", "x": "x"}


def test_other_names_become_arguments_without_meeting_each_other() -> None:
    assert argument_names(["a b", "a.b", "1st", "_x"]) == {"a b": "a_b", "a.b": "a_b_1", "1st": "x1st", "_x": "x_x"}


@pytest.mark.parametrize(
    ("layer", "scope"),
    [("dense_1", "dense_1"), ("layer one: é*", "layer_one____"), ("_first", "x_first"), ("> in", "x__in"), ("", "x")],
)
def test_any_layer_has_a_scope_that_tensorflow_takes(layer: str, scope: str) -> None:
    assert scope_name(layer) == scope


@pytest.mark.parametrize(
    ("node", "layer"),
    [
        ("model_1/nest/dense_1/MatMul", "dense"),
        ("model_1/my_layer_2/Erf", "my layer"),
        ("model_1/Erf", "model"),
        ("dense", None),
        ("while/body/Erf", None),
    ],
)
def test_a_node_stands_in_the_innermost_layer_of_its_scopes(node: str, layer: str | None) -> None:
    assert layer_of(node, {"model": "Functional", "dense": "Dense", "my layer": "Own"}) == layer


def test_a_place_names_layer_class_and_node_where_there_is_a_layer() -> None:
    layers = {"dense": "Dense"}
    assert place("dense_1/Erf", layers) == "in the layer 'dense' (Dense) at 'dense_1/Erf'"
    assert place("Erf", layers) == "at 'Erf'"
