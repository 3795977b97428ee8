"""What the system says of its processor."""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def cpu_flags(cpuinfo: Path = _CPUINFO) -> tuple[str, ...]:
    """The first CPU's flags (`flags` on x86, `Features` on ARM), sorted; empty where the system has no such file."""
    return tuple(sorted(next(iter(_entries(cpuinfo, "flags", "Features")), "").split()))


def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's own name; empty where the system does not say.

    Many ARM systems have no name but the numbers of their cores' designs: `ARM implementer 0x41 part 0xd08`.
    """
    names = _entries(cpuinfo, "model name", "Model")
    if names:
        return names[0]
    designs = zip(_entries(cpuinfo, "CPU implementer"), _entries(cpuinfo, "CPU part"), strict=False)
    cores = sorted({f"implementer {implementer} part {part}" for implementer, part in designs})
    return f"ARM {', '.join(cores)}" if cores else platform.processor()


def _entries(cpuinfo: Path, *keys: str) -> list[str]:
    """Every value in the file under any of the keys, in its order; none where there is no file."""
    if not cpuinfo.is_file():
        return []
    lines = (line.partition(":") for line in cpuinfo.read_text("utf-8", errors="replace").splitlines())
    return [value.strip() for key, _, value in lines if key.strip() in keys]
