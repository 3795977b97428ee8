"""A hidden package cannot be imported, and then it can."""

import importlib
import subprocess
import sys

import pytest

from kedge_exporter.hidden import hidden


def test_a_package_is_away_and_comes_back() -> None:
    sys.modules.pop("colorsys", None)
    with hidden("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").rgb_to_hls(0, 0, 0) == (0.0, 0.0, 0.0)


def test_what_is_imported_already_stays() -> None:
    with hidden("json"):
        assert importlib.import_module("json").loads("1") == 1
    assert "json" in sys.modules


def test_it_comes_back_after_an_error() -> None:
    sys.modules.pop("colorsys", None)
    with pytest.raises(RuntimeError), hidden("colorsys"):
        raise RuntimeError
    assert importlib.import_module("colorsys")


def test_the_export_imports_keras_without_its_plots_and_wrappers() -> None:
    program = (
        "import sys\nfrom kedge_exporter.hidden import hidden\n"
        "with hidden('matplotlib', 'sklearn'):\n    import keras\n"
        "print(*(name in sys.modules for name in ('matplotlib', 'sklearn', 'keras')))\nimport matplotlib.figure"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False True\n"
