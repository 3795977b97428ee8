"""`--custom` is consent to one module: the file reaches what that module means for models, not what it imports."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from kedge_exporter.custom_module import import_custom, own_objects
from kedge_exporter.errors import ModelRefused, UsageError
from kedge_exporter.keras_file.config_json import OwnName

MODEL = Path("m.keras")
MODULE = """
import os, subprocess, sys
from os import system
from subprocess import Popen, run
from shutil import rmtree
from collections import OrderedDict

class Scale:
    def get_config(self):
        return {}
    @classmethod
    def from_config(cls, config):
        return cls()

class Plain:
    pass

def bump(x):
    return x

def _hidden(x):
    return x

runs = run
wipe = lambda path: rmtree(path)
instance = Scale()
"""


def wanted(kind: str, name: str, module: str = "own_parts") -> OwnName:
    return OwnName("class" if kind == "class" else "function", "victim", module, name)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, types.ModuleType]]:
    monkeypatch.setattr("sys.path", ["nowhere"])
    path = tmp_path / "kedge_test_own_parts.py"
    path.write_text(MODULE)
    yield path, import_custom(path)
    del sys.modules["kedge_test_own_parts"]


@pytest.mark.parametrize(("kind", "name"), [("class", "Scale"), ("function", "bump")])
def test_what_the_module_defines_is_found(own: tuple[Path, types.ModuleType], kind: str, name: str) -> None:
    _path, module = own
    assert own_objects(MODEL, module, [wanted(kind, name)], {}) == {name: vars(module)[name]}


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("function", "system", "it comes from 'posix' there, and a file may not reach what a module imports"),
        ("class", "system", "it comes from 'posix' there"),
        ("function", "run", "it comes from 'subprocess' there"),
        ("function", "runs", "it comes from 'subprocess' there"),
        ("class", "Popen", "it comes from 'subprocess' there"),
        ("function", "rmtree", "it comes from 'shutil' there"),
        ("class", "OrderedDict", "it comes from 'collections' there"),
        ("class", "os", "it comes from 'None' there"),
        ("class", "Plain", "is no class that Keras can make from a file"),
        ("class", "bump", "is no class that Keras can make from a file"),
        ("function", "Scale", "is no function that Keras can make from a file"),
        ("function", "wipe", "is no function that Keras can make from a file"),
        ("class", "instance", "is no class that Keras can make from a file"),
        ("function", "_hidden", "is no function that Keras can make from a file"),
        ("class", "Elsewhere", "neither part of Keras nor registered or defined in --custom"),
        ("class", "own>Scale", "neither part of Keras nor registered or defined in --custom"),
        ("class", "__builtins__", "it comes from 'None' there"),
        ("function", "__import__", "neither part of Keras nor registered or defined in --custom"),
    ],
)
def test_nothing_else_of_it_is_reached(own: tuple[Path, types.ModuleType], kind: str, name: str, why: str) -> None:
    path, module = own
    with pytest.raises(ModelRefused) as caught:
        own_objects(MODEL, module, [wanted(kind, name)], {})
    assert f"layer 'victim': the {kind} '{name}'" in str(caught.value)
    assert str(caught.value).startswith("m.keras: config.json: ")
    assert f"--custom {path}" in str(caught.value)
    assert why in str(caught.value)


def test_what_is_registered_is_left_to_keras(own: tuple[Path, types.ModuleType]) -> None:
    _path, module = own
    names = [wanted("class", "own>Elsewhere"), wanted("function", "bent", "builtins")]
    assert own_objects(MODEL, module, names, {"own>Elsewhere": object(), "own>bent": object()}) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [("raise ValueError('no')", "importing it raised ValueError: no"), (None, "no such Python file")],
)
def test_a_module_that_cannot_be_imported_is_a_wrong_flag(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "kedge_test_broken.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=said):
        import_custom(path)
