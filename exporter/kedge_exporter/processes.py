"""The processes of an export: what they find in their environment, and how their end reads to people.

Nothing that the user exported into the shell may change what is converted, and TensorFlow stays off the GPU:
there, recurrent layers trace to ops that no edge format has.
"""

import os
import signal
from pathlib import Path

_ONE_ARENA = {
    # glibc keeps what each thread freed for that thread; a few large threads do not need it, and memory counts.
    # https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html
    "MALLOC_ARENA_MAX": "1",
}
_FOR_EXPORT = {
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "1",
    # Keras' reference answers come from the plain kernels: the same on every CPU, and not those under test.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_USE_LEGACY_KERAS": "0",
    # The converter's check loads the file in onnxruntime, which would report that to its maker.
    "ORT_DISABLE_TELEMETRY": "1",
    **_ONE_ARENA,
    # HDF5 loads no filter plugins, from wherever: https://support.hdfgroup.org/documentation/hdf5/latest/_h5_p_l__u_g.html
    "HDF5_PLUGIN_PRELOAD": "::",
}
_NOT_FOR_PROOF = ("TF_ENABLE_ONEDNN_OPTS",)
"""A runtime is proven as it will serve, with its own defaults."""


def export_environment(work: Path) -> dict[str, str]:
    """The environment of the process that loads and converts; its temporary files go to `work`.

    So does `keras.json`, which Keras reads and, where there is none, writes into the home directory, and the list of
    fonts of matplotlib, which Keras imports where it finds it.
    """
    return {**os.environ, **_FOR_EXPORT, "TMPDIR": str(work), "KERAS_HOME": str(work), "MPLCONFIGDIR": str(work)}


def runtime_environment() -> dict[str, str]:
    """The environment of a process that runs artifacts as the server will."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_FOR_PROOF}


def proof_environment() -> dict[str, str]:
    """The environment of a process that proves: as it will serve, but for memory beside the process that converts."""
    return runtime_environment() | _ONE_ARENA


def describe_exit(code: int) -> str:
    """How a process ended, for people."""
    if code >= 0:
        return f"ended with code {code}"
    hint = "; the machine may be out of memory" if -code == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"
