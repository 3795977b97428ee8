from pathlib import Path

import pytest

from kedge_bundle.cpu import cpu_flags, cpu_name

INTEL = "processor : 0\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: sse2 avx2\n\nprocessor : 1\nmodel name\t: other\n"
RASPBERRY = (
    "processor : 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\nModel\t: Raspberry Pi 5\n"
)
BIG_AND_LITTLE = "".join(f"CPU implementer\t: 0x41\nCPU part\t: {part}\n\n" for part in ("0xd03", "0xd08", "0xd03"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (INTEL, "Intel(R) Xeon(R)"),
        (RASPBERRY, "Raspberry Pi 5"),
        (BIG_AND_LITTLE, "ARM implementer 0x41 part 0xd03, implementer 0x41 part 0xd08"),
    ],
)
def test_a_processor_is_named_by_its_name_or_by_the_designs_of_its_cores(tmp_path: Path, text: str, name: str):
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_name(tmp_path / "cpuinfo") == name


def test_the_flags_are_those_of_the_first_core_on_either_architecture(tmp_path: Path):
    (tmp_path / "cpuinfo").write_text(INTEL)
    assert cpu_flags(tmp_path / "cpuinfo") == ("avx2", "sse2")
    (tmp_path / "cpuinfo").write_text(RASPBERRY)
    assert cpu_flags(tmp_path / "cpuinfo") == ("asimd", "fp")
