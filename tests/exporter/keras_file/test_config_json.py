"""`config.json` may name what Keras computes with, and nothing else; every spelling that Keras 3 has used is taken."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kedge_exporter.inspect import inspect
from kedge_exporter.keras_file import config_json
from tests.exporter.keras_file.test_archive import refusal
from tests.exporter.keras_files import keras_file, layer, model


def function(module: str | None, name: str, registered: str | None = "function") -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": registered}


def refusal_of(tmp_path: Path, part: object) -> str:
    """What is said of a layer `victim` that holds this, as its configuration or somewhere in it."""
    around = layer("Dense", name="victim", activation=part)
    return refusal(keras_file(tmp_path / "m.keras", config__json=model(around)))


@pytest.mark.parametrize(
    ("name", "module", "reason"),
    [
        ("Lambda", "keras.layers", "it calls a function that the file chooses"),
        ("Lambda", "keras.src.layers.core.lambda_layer", "it calls a function that the file chooses"),
        ("Lambda", None, "it calls a function that the file chooses"),
        ("TFSMLayer", "keras.layers", "it loads another SavedModel"),
        ("TFSMLayer", "keras.src.export.tfsm_layer", "it loads another SavedModel"),
        ("TorchModuleWrapper", "keras.layers", "it holds a pickle"),
        ("JaxLayer", "keras.layers", "it calls a function that no file can hold"),
        ("FlaxLayer", "keras.layers", "it calls code that no file can hold"),
        ("__lambda__", None, "it holds Python bytecode"),
        ("__typespec__", "tensorflow.python.framework.tensor", "it names a class of TensorFlow's inner parts"),
        ("FeatureSpace", "keras.utils", "that is none of them"),
        ("Sequence", "keras.utils", "that is none of them"),
        ("CSVLogger", "keras.callbacks", "that is none of them"),
        ("KerasSaveable", "keras.src.saving.keras_saveable", "that is none of them"),
        ("Dense", "keras.src.layers", "that is none of them"),
        ("Dense", "keras.layers.", "that is none of them"),
        ("_Merge", "keras.src.layers.merging.base_merge", "that is none of them"),
        ("system", "os", "is not part of Keras"),
        ("Popen", "subprocess", "is not part of Keras"),
        ("Dense", "keras_hub.layers", "is not part of Keras"),
        ("Dense", "kerasx.layers", "is not part of Keras"),
        ("Dense", None, "is not part of Keras"),
        ("Dense", "", "is not part of Keras"),
    ],
)
def test_a_class_that_may_not_be_made_is_refused(tmp_path: Path, name: str, module: str | None, reason: str) -> None:
    message = refusal_of(tmp_path, {"module": module, "class_name": name, "config": {}, "registered_name": None})
    assert "config.json" in message
    assert "layer 'victim'" in message
    assert name in message
    assert reason in message


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.config", "enable_unsafe_deserialization"),
        ("keras.models", "load_model"),
        ("keras.saving", "load_model"),
        ("keras.utils", "get_file"),
        ("keras.preprocessing.image", "load_img"),
        ("keras.src.utils.file_utils", "get_file"),
        ("keras.layers", "deserialize"),
        ("keras.activations", "deserialize"),
        ("keras.activations", "get"),
        ("builtins", "deserialize"),
        ("builtins", "eval"),
        ("os", "system"),
        (None, "relu"),
    ],
)
def test_a_function_that_does_more_than_compute_is_refused(tmp_path: Path, module: str | None, name: str) -> None:
    message = refusal_of(tmp_path, function(module, name))
    assert f"function '{name}'" in message
    assert "layer 'victim'" in message


@pytest.mark.parametrize("place", ["vocabulary", "idf_weights"])
@pytest.mark.parametrize("value", ["/etc/passwd", "words.txt", "gs://bucket/words", "https://example.org/words"])
@pytest.mark.parametrize("name", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_a_vocabulary_that_lies_elsewhere_is_refused(tmp_path: Path, name: str, place: str, value: str) -> None:
    message = refusal(keras_file(tmp_path / "m.keras", config__json=model(layer(name, **{place: value}))))
    assert f"layer '{name.lower()}': its {place} is the path or URL '{value}'" in message
    assert "save it again" in message


@pytest.mark.parametrize(
    "part",
    [
        {"class_name": "Dense", "config": {"units": 3}},
        {"class_name": "keras_export", "config": {}},
        {"class_name": "TextVectorization"},
    ],
)
def test_an_object_without_a_module_is_refused(tmp_path: Path, part: dict[str, Any]) -> None:
    """Keras would look it up among all names of its package of layers, helpers included."""
    assert "without its module, as in files of Keras 2" in refusal_of(tmp_path, part)


@pytest.mark.parametrize(
    "part",
    [
        {"class_name": 3, "module": "keras.layers", "config": {}},
        {"class_name": ["Dense"], "module": "keras.layers", "config": {}},
        {"class_name": "Dense", "module": 3, "config": {}},
        {"class_name": "Dense", "module": "keras.layers", "config": {}, "registered_name": {}},
        {"class_name": "De\x1b[2Jnse", "module": "keras.layers", "config": {}},
        {"class_name": "Dense", "module": "keras\nlayers", "config": {}},
        {"class_name": "D" * 1000, "module": "keras.layers", "config": {}},
    ],
)
def test_names_that_are_no_text_are_refused(tmp_path: Path, part: dict[str, Any]) -> None:
    assert "must be text" in refusal_of(tmp_path, part)


@pytest.mark.parametrize("part", [{"name": "vic\x1b[2J\ntim"}, {"vic\x9btim": 1}])
def test_a_name_cannot_move_the_cursor(tmp_path: Path, part: dict[str, Any]) -> None:
    message = refusal_of(tmp_path, part)
    assert "a name with a control character" in message
    assert message.isprintable()


def test_a_function_without_a_name_is_refused(tmp_path: Path) -> None:
    assert "a function without a name" in refusal_of(tmp_path, function("keras.ops", "relu") | {"config": None})


@pytest.mark.parametrize("dtype", ["S1000000000", "object", "V8", None, 3, "float128"])
def test_an_array_of_an_odd_dtype_is_refused(tmp_path: Path, dtype: object) -> None:
    part = {"class_name": "__numpy__", "config": {"value": [1], "dtype": dtype}}
    assert "expected numbers, booleans or text" in refusal_of(tmp_path, part)


def test_a_registered_name_beside_a_class_of_keras_is_what_counts(tmp_path: Path) -> None:
    part = layer() | {"registered_name": "evil>Scale"}
    assert "the class 'evil>Scale'" in refusal_of(tmp_path, part)


def test_depth_has_an_end(tmp_path: Path) -> None:
    part: object = 1
    for _ in range(400):
        part = [part]
    assert "nests more than 256 levels deep, at layer 'victim'" in refusal_of(tmp_path, part)


def test_a_number_of_many_digits_is_not_json(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras", config__json=b'{"class_name": ' + b"1" * 5000 + b"}")
    assert "config.json is not JSON" in refusal(path)


def test_what_runs_nowhere_may_name_anything(tmp_path: Path) -> None:
    """Models are loaded with `compile=False`: a loss of the user's own is no reason to refuse a model."""
    own_loss = {"module": "my_losses", "class_name": "Own", "config": {}, "registered_name": "mine>Own"}
    config = model(layer(), compile_config={"optimizer": "adam", "loss": own_loss})
    assert inspect(keras_file(tmp_path / "m.keras", config__json=config)).own_names == ()


def test_a_compiled_model_inside_is_made_with_its_losses_and_checked(tmp_path: Path) -> None:
    own_loss = {"module": "my_losses", "class_name": "Own", "config": {}, "registered_name": "mine>Own"}
    inside = model(layer(), compile_config={"optimizer": "adam", "loss": own_loss})
    assert "'mine>Own'" in refusal(keras_file(tmp_path / "m.keras", config__json=model(inside)))


def test_own_classes_are_listed_for_the_custom_module(tmp_path: Path) -> None:
    own = layer("Scale", "my_layers", name="scaled") | {"registered_name": "own>Scale"}
    act = layer(activation=function("my_layers", "bump", "bump"))
    path = keras_file(tmp_path / "m.keras", config__json=model(own, act))
    found = inspect(path, has_custom=True).own_names
    assert [(name.kind, name.module, name.name) for name in found] == [
        ("class", "my_layers", "own>Scale"),
        ("function", "my_layers", "bump"),
    ]
    message = refusal(path)
    assert re.search(r"layer 'scale': the class 'own>Scale' of the module 'my_layers' \(and 1 more\)", message)
    assert "--custom module.py" in message


SPELLINGS = [
    ("keras", "Sequential"),
    ("keras", "Model"),
    ("keras.models", "Model"),
    ("keras.src.models.functional", "Functional"),
    ("keras.src.models.sequential", "Sequential"),
    ("keras.layers", "Dense"),
    ("keras.src.layers.core.dense", "Dense"),
    ("keras.layers", "Convolution2D"),
    ("keras.layers", "InputLayer"),
    ("keras.layers", "GroupQueryAttention"),
    ("keras.layers", "StringLookup"),
    ("keras.layers", "MultiHeadAttention"),
    ("keras.src.layers.rnn.lstm", "LSTMCell"),
    ("keras.layers", "LSTMCell"),
    ("keras.initializers", "GlorotUniform"),
    ("keras.initializers", "VarianceScaling"),
    ("keras.src.initializers.random_initializers", "HeNormal"),
    ("keras.regularizers", "L2"),
    ("keras.constraints", "MaxNorm"),
    ("keras", "DTypePolicy"),
    ("keras.dtype_policies", "DTypePolicyMap"),
    ("keras.dtype_policies", "QuantizedDTypePolicy"),
    ("keras.mixed_precision", "Policy"),
    ("keras.optimizers", "AdamW"),
    ("keras.optimizers.schedules", "CosineDecay"),
    ("keras.losses", "SparseCategoricalCrossentropy"),
    ("keras.metrics", "AUC"),
    ("keras.quantizers", "AbsMaxQuantizer"),
    ("keras.random", "SeedGenerator"),
    ("keras.src.random.seed_generator", "SeedGenerator"),
    ("keras.src.ops.numpy", "Add"),
    ("keras.src.ops.numpy", "GetItem"),
    ("keras.src.ops.nn", "Softmax"),
    ("keras.src.ops.core", "Cast"),
    ("keras.src.ops.math", "Erf"),
    ("keras.src.ops.image", "Resize"),
    ("keras.src.ops.linalg", "Norm"),
    ("keras.src.applications.convnext", "LayerScale"),
    ("keras.src.layers.preprocessing.index_lookup", "IndexLookup"),
]


def test_every_spelling_of_keras_is_taken(tmp_path: Path) -> None:
    layers = [layer(name, module, name=f"l{index}") for index, (module, name) in enumerate(SPELLINGS)]
    functions = [("keras.activations", "relu"), ("keras.ops", "tanh"), ("builtins", "gelu"), ("keras.losses", "huber")]
    layers += [layer(activation=function(module, name, name)) for module, name in functions]
    values: list[dict[str, Any]] = [
        {"class_name": "__keras_tensor__", "config": {"shape": [None, 3], "dtype": "float32", "keras_history": []}},
        {"class_name": "__tensor__", "config": {"value": [1.0], "dtype": "float32"}},
        {"class_name": "__numpy__", "config": {"value": [1], "dtype": "int64"}},
        {"class_name": "__slice__", "config": {"start": None, "stop": 2, "step": None}},
        {"class_name": "__ellipsis__", "config": {}},
        {"class_name": "__bytes__", "config": {"value": "x"}},
    ]
    layers.append(layer(inbound=values, vocabulary=["a", "b"], idf_weights=[1.0, 2.0]))
    assert inspect(keras_file(tmp_path / "m.keras", config__json=model(*layers))).own_names == ()


def test_every_name_on_the_list_is_of_keras_and_none_of_them_is_refused_by_name() -> None:
    names = json.loads((Path(config_json.__file__).parent / "keras_names.json").read_text())
    modules = {module for table in ("classes", "functions") for found in names[table].values() for module in found}
    assert all(module == "builtins" or module.split(".")[0] == "keras" for module in modules)
    assert not set(names["classes"]) & config_json._REFUSED.keys()
    assert not {"get", "deserialize", "serialize", "load_model", "get_file"} & names["functions"].keys()
    assert len(names["classes"]) > 600
