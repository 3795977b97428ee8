"""What the system says of the processor that an export ran on."""

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def cpu_flags(cpuinfo: Path = _CPUINFO) -> tuple[str, ...]:
    """The first CPU's flags (`flags` on x86, `Features` on ARM), sorted; empty where the system has no such file."""
    return tuple(sorted((_first_entry(cpuinfo, "flags", "Features") or "").split()))


def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's own name; empty where the system does not say."""
    name = _first_entry(cpuinfo, "model name", "Model")
    return platform.processor() if name is None else name


def _first_entry(cpuinfo: Path, *keys: str) -> str | None:
    """The first value in the file under any of the keys; None where there is no file, or no such key in it."""
    if not cpuinfo.is_file():
        return None
    for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return None
