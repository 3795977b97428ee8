"""What the benchmark measures with; the measuring itself is `make benchmark`."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

_FILE = Path(__file__).parents[2] / "benchmarks" / "export.py"
_WORK = "import subprocess, sys, time; held = bytearray(b'x' * 60_000_000); time.sleep(0.5)"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("export_benchmark", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_memory_and_time_of_a_process_and_of_what_it_starts_are_seen(benchmark: ModuleType) -> None:
    inner = f"{_WORK}; subprocess.run([sys.executable, '-c', {_WORK!r}], check=True); print('{{}}')"
    run = benchmark._measured([sys.executable, "-c", inner], is_watched=True)
    assert run.wall_s >= 1
    assert 0 < run.cpu_s < run.wall_s
    assert 120 < run.peak_mb < 250


def test_what_keras_could_not_export_is_told(benchmark: ModuleType) -> None:
    assert benchmark._measured(
        [sys.executable, "-c", 'print(\'{"onnx": "IndexError"}\')'], is_watched=False
    ).failed == {"onnx": "IndexError"}


def test_a_side_that_fails_ends_the_benchmark(benchmark: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="ended with 3: no reason"):
        benchmark._measured(
            [sys.executable, "-c", "import sys; print('no reason', file=sys.stderr); sys.exit(3)"], is_watched=False
        )
