"""`config.json`: every class and function that it names, held against what Keras itself defines.

Keras makes an object of each JSON object with a `class_name`; `module` and `registered_name` say where to look. The
allow-list (`keras_names.json`, made by `scripts/keras_names`) holds the pairs of module and name that can only compute.
Read: `deserialize_keras_object` and `_retrieve_class_or_fn` in Keras' `serialization_lib.py`, and what
`functional_from_config` does with a layer that has no `module`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from kedge_exporter.errors import ModelRefused
from kedge_exporter.keras_file.archive import CONFIG

_MOST_DEPTH = 256
_MOST_NAME = 256
_FUNCTION = "function"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_VALUES = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"})
"""Stand for values, not for classes."""
_ARRAYS = frozenset({"__tensor__", "__numpy__"})
_PATHS = ("vocabulary", "idf_weights")
"""Arguments of lookup layers that Keras opens as a file, or fetches, when they are strings."""
_DTYPES = frozenset(
    f"{kind}{bits}" for kind, sizes in {"int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64)}.items()
    for bits in sizes
) | {"bool", "bfloat16", "string", "complex64", "complex128"}  # fmt: skip

_AS_A_CLASS = "write it as a layer class in a module of yours, save the model again, and give the module with --custom"
_BYTECODE = f"it holds Python bytecode, which is never run from a file; {_AS_A_CLASS}"
_REFUSED = {
    "__lambda__": _BYTECODE,
    "Lambda": f"it calls a function that the file chooses, bytecode as a rule; {_AS_A_CLASS}",
    "__typespec__": "it names a class of TensorFlow's inner parts; describe inputs with keras.Input",
    "TFSMLayer": "it loads another SavedModel from a path when it is made; export that model by itself, or build it "
    "from Keras layers",
    "TorchModuleWrapper": "it holds a pickle, which runs code when it is read; rebuild the model from Keras layers",
    "JaxLayer": "it calls a function that no file can hold; rebuild the model from Keras layers",
    "FlaxLayer": "it calls code that no file can hold; rebuild the model from Keras layers",
}


@dataclass(frozen=True)
class OwnName:
    """A class or function in a configuration that Keras does not define; only `--custom` can.

    Attributes:
        layer: the innermost named object around it, for messages; may be empty.
        name: the name that Keras looks up: `package>Class` where it was registered, else the class's or function's own.
    """

    kind: Literal["class", "function"]
    layer: str
    module: str
    name: str

    def __str__(self) -> str:
        where = f"layer '{self.layer}': " if self.layer else ""
        # Keras writes `builtins` for every function that is not its own.
        of = f" of the module '{self.module}'" if self.module not in ("", "builtins") else ""
        return f"{where}the {self.kind} '{self.name}'{of}"


def parse(path: Path, member: str, text: bytes) -> dict[str, Any]:
    """The JSON object in a member.

    Raises:
        ModelRefused: it is none, or nests too deeply.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{path}: {member} is not JSON: {str(error)[:200]}") from error
    if not isinstance(document, dict):
        raise ModelRefused(f"{path}: {member} is not a JSON object")
    return document


def check_config(path: Path, config: dict[str, Any]) -> tuple[OwnName, ...]:
    """Refuse a configuration that names what Keras must not make; what Keras does not define is left to `--custom`.

    The model's own `compile_config` is passed over: models are loaded with `compile=False`. That of a model inside is
    used by Keras and checked.

    Raises:
        ModelRefused: naming the layer, the class, the reason and what to do.
    """
    own: dict[OwnName, None] = {}
    for node, layer in _objects(path, {key: value for key, value in config.items() if key != "compile_config"}):
        _check_paths(path, node, layer)
        _check_letters(path, node, layer)
        if "class_name" in node:
            found = _checked(path, node, layer)
            if found is not None:
                own[found] = None
    return tuple(own)


def _objects(path: Path, config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every JSON object with the name of the layer around it; a loop, so that no depth is too deep."""
    waiting: list[tuple[object, str, int]] = [(config, "", 0)]
    while waiting:
        node, layer, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise ModelRefused(f"{path}: {CONFIG} nests more than {_MOST_DEPTH} levels deep, at layer '{layer}'")
        if isinstance(node, dict):
            layer = _name_of(node) or layer
            yield node, layer
        parts = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
        # Backwards, so that the first layer is met first.
        waiting.extend((part, layer, depth + 1) for part in reversed(parts) if isinstance(part, dict | list))


def _name_of(node: dict[str, Any]) -> str:
    inner = node.get("config")
    name = node.get("name") or (inner.get("name") if isinstance(inner, dict) and "class_name" in node else None)
    # A dtype policy has a name as well (float32), and is no layer.
    is_policy = str(node.get("class_name", "")).endswith("Policy")
    return _printable(name)[:100] if isinstance(name, str) and not is_policy else ""


def _is_name(text: object) -> bool:
    """Names of the file's making are shown to the user: they must not move the cursor of a terminal."""
    return isinstance(text, str) and len(text) <= _MOST_NAME and text.isprintable()


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _shown(node: dict[str, Any]) -> str:
    return ascii({key: node[key] for key in ("class_name", "module", "registered_name", "config") if key in node})[:200]


def _check_paths(path: Path, node: dict[str, Any], layer: str) -> None:
    for key in _PATHS:
        value = node.get(key)
        if isinstance(value, str):
            raise ModelRefused(
                f"{path}: {CONFIG}: layer '{layer}': its {key} is the path or URL {value[:200]!r}, which Keras would "
                "open; load the model where that file is, and save it again: the words then travel in the .keras file"
            )


def _check_letters(path: Path, node: dict[str, Any], layer: str) -> None:
    """Names and keys become names of tensors and stand in messages, logs and labels."""
    name = node.get("name")
    if any(_CONTROL.search(text) for text in (*node, name if isinstance(name, str) else "")):
        raise ModelRefused(f"{path}: {CONFIG}: layer '{layer}': a name with a control character; rename it")


def _checked(path: Path, node: dict[str, Any], layer: str) -> OwnName | None:
    """None where Keras defines what the object names; the name where it does not."""
    name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    where = f"{path}: {CONFIG}: layer '{layer}'" if layer else f"{path}: {CONFIG}"
    if not all(_is_name(text) for text in (name, *(text for text in (module, registered) if text is not None))):
        raise ModelRefused(f"{where}: class_name, module and registered_name must be text, got {_shown(node)}")
    if name in _REFUSED:
        raise ModelRefused(f"{where}: a {name} is refused: {_REFUSED[name]}")
    if name in _VALUES:
        _check_value(where, name, node.get("config"))
        return None
    if "module" not in node:
        raise ModelRefused(
            f"{where}: the class '{name}' stands without its module, as in files of Keras 2; load the model in "
            "Keras 3 and save it again"
        )
    kind: Literal["class", "function"] = "class"
    if name == _FUNCTION:
        kind, name = "function", node.get("config")
        if not _is_name(name):
            raise ModelRefused(f"{where}: a function without a name: {_shown(node)}")
    if kind == "class" and registered not in (None, name):  # Keras looks it up before it looks at the module
        return OwnName(kind, layer, module or "", registered)
    if module in _known(kind).get(name, ()):
        return None
    _check_not_of_keras(where, kind, module, name)
    return OwnName(kind, layer, module or "", name)


def _check_not_of_keras(where: str, kind: str, module: str | None, name: str) -> None:
    """Refuse the parts of Keras that are no parts of models: no custom module answers for them."""
    if module is not None and (module == "keras" or module.startswith("keras.")):
        raise ModelRefused(
            f"{where}: the {kind} '{name}' of the module '{module}' is refused: models are made of Keras' "
            f"layers, operations and their settings, and in Keras {known_keras()} that is none of them; build the "
            "model without it and save it again"
        )


def _check_value(where: str, name: str, value: object) -> None:
    """A value is data; only its dtype could ask for something odd, such as text of a gigabyte a letter."""
    if name not in _ARRAYS:
        return
    dtype = value.get("dtype") if isinstance(value, dict) else None
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ModelRefused(f"{where}: a {name} of the dtype {str(dtype)[:100]!r}; expected numbers, booleans or text")


def known_keras() -> str:
    """The version of Keras whose names the allow-list holds."""
    return str(_names()["keras"])


def _known(kind: Literal["class", "function"]) -> dict[str, list[str]]:
    tables: dict[str, dict[str, list[str]]] = _names()
    return tables["classes" if kind == "class" else "functions"]


@cache
def _names() -> dict[str, Any]:
    names: dict[str, Any] = json.loads((files(__package__) / "keras_names.json").read_bytes())
    return names
