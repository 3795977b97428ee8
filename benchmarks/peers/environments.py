"""Each peer's own virtual environment, made once in the cache."""

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = {
    "kserve": ("kserve==0.21.0", "onnxruntime==1.31.1", "uvloop==0.23.0"),
    "mlserver": ("mlserver==1.7.1", "onnxruntime==1.31.1"),
    "triton": ("nvidia-pytriton==0.7.0", "onnxruntime==1.31.1"),
}
_INSTALL_S = 900.0


class PeerMissing(Exception):
    """A peer cannot be had here; the message says why."""


def environment(peer: str, cache: Path) -> Path:
    """The directory of the peer's environment, installed if it is not there.

    Raises:
        PeerMissing: its packages cannot be installed.
    """
    home = cache / "peers" / peer
    if (done := home / ".installed").exists():
        return home
    python = str(home / "bin" / "python")
    try:
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(home)],
            [python, "-m", "pip", "install", "--quiet", *REQUIREMENTS[peer]],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_S)  # noqa: S603
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise PeerMissing(f"not installed: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise PeerMissing(f"not installed within {_INSTALL_S:.0f} s") from error
    done.touch()
    return home
