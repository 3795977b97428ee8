"""What the manifest records of the machine."""

from pathlib import Path

import numpy as np
import pytest

from kedge_exporter.provenance import cpu_flags, toolchain
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
