"""`--custom module.py`: the operator's consent to run one module, and the names in it that a `.keras` file may use.

The module is the operator's, the file is not. So the file reaches what the module registered with Keras and what the
module itself defines for models, never what it merely imports.
"""

import importlib.util
import sys
import traceback
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from kedge_exporter.errors import ModelRefused, UsageError
from kedge_exporter.keras_file.archive import CONFIG
from kedge_exporter.keras_file.config_json import OwnName


def import_custom(path: Path) -> ModuleType:
    """Run the user's module, so that the classes that it registers are known to Keras.

    Raises:
        UsageError: it is missing or raises.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"--custom {path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    # Models saved from this module look it up by its name; what it imports beside itself is found there as well.
    sys.modules[path.stem] = module
    sys.path.append(str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # it is the user's code
        traceback.print_exception(error)  # its author wants the line; standard error is the log
        raise UsageError(f"--custom {path}: importing it raised {type(error).__name__}: {error}") from error
    return module


def own_objects(
    file: Path, module: ModuleType, wanted: Sequence[OwnName], registered: Mapping[str, object]
) -> dict[str, object]:
    """What the module answers for, by the names that the configuration uses.

    Args:
        file: the `.keras` file, named in messages.
        module: as it was imported.
        wanted: the names in the configuration that Keras does not define.
        registered: what was registered with Keras, by registered name.

    Raises:
        ModelRefused: the module defines no such class or function.
    """
    found: dict[str, object] = {}
    for own in wanted:
        if own.name in registered or _is_registered_function(own, registered):
            continue  # Keras finds it by itself
        value = vars(module).get(own.name)
        if not _is_defined_in(module, own, value):
            raise ModelRefused(
                f"{file}: {CONFIG}: {own} is neither part of Keras nor registered or defined in "
                f"--custom {module.__file__}"
                f"{_why_not(module, own, value)}; define it there, or register it with "
                "@keras.saving.register_keras_serializable() in a module that it imports"
            )
        found[own.name] = value
    return found


def _is_registered_function(own: OwnName, registered: Mapping[str, object]) -> bool:
    """Keras up to 3.6 wrote a registered function by its bare name, and 3.15 still finds it."""
    return own.kind == "function" and own.module == "builtins" and any(n.endswith(f">{own.name}") for n in registered)


def _is_defined_in(module: ModuleType, own: OwnName, value: object) -> bool:
    if own.name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
        return False
    if getattr(value, "__name__", None) != own.name:  # Keras records the name of the definition, never an alias
        return False
    if own.kind == "function":
        return isinstance(value, types.FunctionType)
    return isinstance(value, type) and hasattr(value, "from_config") and hasattr(value, "get_config")


def _why_not(module: ModuleType, own: OwnName, value: object) -> str:
    if value is None:
        return ""
    home = getattr(value, "__module__", None)
    if home != module.__name__:
        return f" (it comes from '{home}' there, and a file may not reach what a module imports)"
    return f" (there, '{own.name}' is no {own.kind} that Keras can make from a file)"
