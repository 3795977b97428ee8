"""What the manifest records of the machine."""

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.cpu import cpu_flags
from kedge_bundle.manifest import Recipe
from kedge_bundle.store import sha256_of
from kedge_exporter.provenance import are_installed, installed_packages, is_this_toolchain, recipe, toolchain
from kedge_exporter.request import ExportRequest


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("processor\t: 0\nflags\t\t: sse2 avx2 avx\n\nprocessor\t: 1\nflags\t\t: other\n", ("avx", "avx2", "sse2")),
        ("processor\t: 0\nFeatures\t: neon asimd\n", ("asimd", "neon")),
        ("nothing of the kind\n", ()),
    ],
)
def test_cpu_flags_are_those_of_the_first_processor(tmp_path: Path, text: str, flags: tuple[str, ...]) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_flags(tmp_path / "cpuinfo") == flags


def test_a_system_without_cpuinfo_has_no_flags(tmp_path: Path) -> None:
    assert cpu_flags(tmp_path / "cpuinfo") == ()


def test_the_toolchain_names_versions_seed_and_command() -> None:
    recorded = toolchain(ExportRequest(model=Path("m.keras"), name="m", seed=3, command=("export-model", "m.keras")))
    assert recorded.packages["numpy"] == np.__version__
    assert (recorded.seed, recorded.command) == (3, ("export-model", "m.keras"))
    assert recorded.python
    assert recorded.platform
    assert recorded.machine == platform.machine()
    assert is_this_toolchain(recorded)
    assert not is_this_toolchain(recorded.model_copy(update={"python": "2.7.18"}))


def test_packages_are_those_that_the_export_needs_down_to_the_last_and_no_others() -> None:
    packages = installed_packages()
    # What Kedge asks for itself, what these ask for, and what comes with none of them.
    assert packages.keys() >= {"kedge", "keras", "tensorflow", "tf2onnx", "pydantic", "optree", "wrapt", "six"}
    assert packages.keys().isdisjoint({"pytest", "ruff", "scikit-learn", "structlog", "uvloop"})
    assert all(metadata.version(name) == number for name, number in packages.items())
    assert list(packages) == sorted(packages)


IMPORTING = """
import sys
sys.path += ["here", "elsewhere"]
import away, iniconfig, json, keras_file, near
from pathlib import Path
from kedge_exporter.provenance import recipe
from kedge_exporter.request import ExportRequest
request = ExportRequest(
    model=Path("m.keras"), name="m", data=Path("data.npz"), custom=Path("here/own.py"), opset=15
)
print(recipe(request, "5a").model_dump_json())
"""


def test_the_recipe_counts_files_by_their_content_and_options_by_their_value(tmp_path: Path) -> None:
    for path in ("here/own.py", "here/near.py", "elsewhere/away.py", "here/keras_file/__init__.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"# {path}\n")
    # In a process of its own: what an export imported is what counts, and the tests import a lot.
    finished = subprocess.run(
        [sys.executable, "-P", "-c", IMPORTING], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    made = Recipe.model_validate_json(finished.stdout)
    assert (made.options["opset"], made.options["seed"]) == (15, 0)
    assert made.options["formats"] == ["saved_model", "tflite", "onnx"]
    assert made.options.keys().isdisjoint({"model", "output", "is_forced", "command"})
    assert made.data_sha256 == "5a"
    names = ("own.py", "../elsewhere/away.py", "keras_file/__init__.py", "near.py")
    assert made.custom == {name: sha256_of(tmp_path / "here" / name) for name in names}
    assert next(iter(made.custom)) == "own.py"
    assert made.custom_packages == {"iniconfig": metadata.version("iniconfig")}
    plain = recipe(ExportRequest(model=Path("m.keras"), name="m"), None)
    assert (plain.custom, plain.custom_packages) == ({}, {})


def test_packages_of_the_users_are_there_in_their_very_versions_or_they_are_not() -> None:
    there = {"iniconfig": metadata.version("iniconfig")}
    assert are_installed({})
    assert are_installed(there)
    assert not are_installed(there | {"iniconfig": "0.0"})
    assert not are_installed(there | {"no-such-distribution-of-anyones": "1"})
