"""One model gives one ONNX file, byte for byte, in every process; an optimizer that fails is left out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kedge_exporter.processes import export_environment
from tests.exporter.conftest import ROOT

SEEDS = ("1", "2")


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, object]]]:
    """What `convert_twice` printed in two processes, whose strings and sets have other hashes."""
    models = tmp_path_factory.mktemp("models")
    found = []
    for seed in SEEDS:
        work = tmp_path_factory.mktemp("work")
        finished = subprocess.run(
            [sys.executable, "-m", "tests.exporter.formats.onnx_files", str(models), str(work)],
            cwd=ROOT,
            env={**export_environment(work), "PYTHONHASHSEED": seed, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr[-4000:]
        found.append(json.loads(finished.stdout.splitlines()[-1]))
    return found


@pytest.mark.parametrize("name", ["dense", "cnn", "lstm", "attention", "lookup"])
def test_two_processes_write_the_same_bytes(printed: list[dict[str, dict[str, object]]], name: str) -> None:
    first, second = (entry[name] for entry in printed)
    assert first["sha256"] == second["sha256"]


def test_names_inside_carry_the_layers(printed: list[dict[str, dict[str, object]]]) -> None:
    names = printed[0]["cnn"]["names"]
    assert isinstance(names, list)
    assert any(name.startswith("functional_1/conv2d") for name in names), names


def test_an_optimizer_that_fails_is_left_out(printed: list[dict[str, dict[str, object]]]) -> None:
    """The model is whole without it, with the transposes that it would have removed."""
    assert printed[0]["cnn, without an optimizer"]["transposes"] > printed[0]["cnn"]["transposes"]  # type: ignore[operator]


def test_einsum_is_not_taken_apart(printed: list[dict[str, dict[str, object]]]) -> None:
    assert "Einsum" in printed[0]["attention"]["ops"]  # type: ignore[operator]


def test_the_sets_that_tf2onnx_walks_through_keep_their_order() -> None:
    program = (
        "from kedge_exporter.formats.onnx_order import OrderedSet\n"
        "made = OrderedSet('cab'); made.add('d'); made.discard('a'); made.update('xc')\n"
        "assert list(made) == list('cbdx')\n"
        "assert list(made.union('y')) == list('cbdxy') and list(made.intersection('xb')) == list('bx')\n"
        "assert list(made - {'b'}) == list('cdx') and list(made | {'z'}) == list('cbdxz')\n"
        "assert made.issubset('cbdxyz') and not made.issubset('c') and made.pop() == 'x' and len(made.copy()) == 3\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT,
                              env=export_environment(Path(os.environ.get("TMPDIR", "/tmp"))))  # noqa: S108 # fmt: skip
    assert finished.returncode == 0, finished.stderr[-2000:]
