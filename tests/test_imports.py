"""The rules of the house (CONTRIBUTING, "Never"), read from the sources and tried in child processes."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {name: ROOT / side / name for side, name in (
    ("bundle", "kedge_bundle"), ("exporter", "kedge_exporter"), ("server", "kedge_server"),
)}  # fmt: skip
HEAVY = {"keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert"}
HOMES_OF_HEAVY = {
    "kedge_bundle/runtimes/onnx.py": {"onnxruntime"},
    "kedge_bundle/runtimes/tflite.py": {"ai_edge_litert"},
    "kedge_bundle/runtimes/tensorflow.py": {"tensorflow"},
}
HOMES_OF_GRPC = ("kedge_server/wire/", "kedge_server/client.py", "kedge_server/query.py", "kedge_server/app.py")


def sources(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGES[package].rglob("*.py")):
        if "pb" not in path.relative_to(PACKAGES[package]).parts:
            yield f"{package}/{path.relative_to(PACKAGES[package]).as_posix()}", path


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def roots(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("kedge_bundle", {"kedge_exporter", "kedge_server"}),
        ("kedge_exporter", {"kedge_server"}),
        ("kedge_server", {"kedge_exporter"}),
    ],
)
def test_the_sides_meet_in_the_bundle_only(package: str, others: set[str]):
    broken = {name: sorted(roots(path) & others) for name, path in sources(package) if roots(path) & others}
    assert broken == {}


@pytest.mark.parametrize("package", ["kedge_bundle", "kedge_server"])
def test_heavy_libraries_stay_in_their_own_module(package: str):
    broken = {
        name: sorted(found)
        for name, path in sources(package)
        if (found := (roots(path) & HEAVY) - HOMES_OF_HEAVY.get(name, set()))
    }
    assert broken == {}


def test_grpc_and_pb_stay_on_the_wire():
    broken = [
        name
        for name, path in sources("kedge_server")
        if not name.startswith(HOMES_OF_GRPC)
        and any(module.partition(".")[0] == "grpc" or ".pb" in module for module in imported(path))
    ]
    assert broken == []


def test_only_settings_and_commands_touch_the_environment():
    allowed = {"cli.py", "settings.py", "query.py"}
    allowed_paths = {
        "kedge_bundle/runtimes/__init__.py",  # onnxruntime's telemetry and TensorFlow's Keras, before their import
        "kedge_exporter/processes.py",  # makes the environment of the export's child processes
    }
    broken = [
        name
        for package in PACKAGES
        for name, path in sources(package)
        if path.name not in allowed
        and name not in allowed_paths
        and ("os.environ" in path.read_text() or "getenv" in path.read_text())
    ]
    assert broken == []


def run_blocked(blocked: set[str], program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a child in which importing any of `blocked` fails."""
    prelude = f"import sys\nfor name in {sorted(blocked)!r}: sys.modules[name] = None\n"
    return subprocess.run([sys.executable, "-c", prelude + program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "blocked"),
    [
        ("kedge_bundle.cli", HEAVY | {"grpc", "prometheus_client"}),
        ("kedge_exporter.cli", HEAVY | {"grpc", "prometheus_client"}),
        ("kedge_server.cli", HEAVY | {"grpc", "prometheus_client"}),
        ("kedge_server.query", HEAVY | {"prometheus_client"}),
        ("kedge_server.client", HEAVY | {"prometheus_client", "pydantic"}),
    ],
)
def test_a_command_starts_without_what_it_may_not_need(module: str, blocked: set[str]):
    action = "" if module.endswith(".client") else "sys.argv = ['x', '--help']; module.main()"
    done = run_blocked(blocked, f"import {module} as module\n{action}")
    assert done.returncode == 0, done.stderr


def test_importing_every_module_of_the_server_prints_nothing_and_needs_no_heavy_library():
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for package in ("kedge_bundle", "kedge_server")
        for name, _ in sources(package)
        if name not in HOMES_OF_HEAVY
    ]
    done = run_blocked(HEAVY, "\n".join(f"import {module}" for module in modules))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tensorflow_serves_without_keras_and_leaves_the_environment_as_it_was():
    """Keras would be half of TensorFlow's start, and 57 MB."""
    program = """
import os, sys
before = dict(os.environ)
from kedge_bundle.runtimes import is_installed
assert is_installed("saved_model")
print("tensorflow" in sys.modules, "keras" in sys.modules, set(before.items()) - set(os.environ.items()),
      "TF_USE_LEGACY_KERAS" in os.environ)
"""
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    for own in ({}, {"TF_USE_LEGACY_KERAS": "0"}):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment | own
        )
        assert done.stdout == f"True False set() {bool(own)}\n"
