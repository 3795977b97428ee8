"""The machine that artifacts run on, as far as it decides how their answers round. Imports no runtime."""

import ctypes
import platform
from typing import Literal

from pydantic import BaseModel, ConfigDict

from kedge_bundle.cpu import cpu_flags, cpu_name

_KERNEL_FEATURES = {
    "x86_64": ("sse", "ssse", "avx", "amx", "fma", "f16c"),
    "aarch64": ("asimd", "fp", "sve", "sme", "bf16", "i8mm"),
    "armv7l": ("neon", "vfp"),
}
"""How the names begin of the instruction sets by which runtimes choose kernels. Other flags come and go with kernels of
the operating system and with microcode, and change no answer."""

_CUDA_DRIVER = "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of the CUDA driver API."""


class Gpu(BaseModel):
    """The first CUDA device.

    Attributes:
        name: the device's own name.
        compute_capability: for which kernels are compiled: `9.0`.
        cuda: the CUDA version that the driver speaks: `13.0`.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    compute_capability: str
    cuda: str


class Machine(BaseModel):
    """A kind of machine. Two boxes of one kind are one machine here: they choose the same kernels, which round alike.

    No name of a host is in it: a container has another one each time it is started.

    Attributes:
        architecture: the kind of processor: `x86_64`, `aarch64`.
        processor: the processor's own name.
        features: the instruction sets by which kernels are chosen, sorted.
        gpu: the GPU, where the artifact runs on one.
    """

    model_config = ConfigDict(frozen=True)

    architecture: str
    processor: str
    features: tuple[str, ...]
    gpu: Gpu | None = None

    def beyond(self, other: "Machine") -> list[str]:
        """What tells this machine from another one, in words: first its parts, else its instruction sets."""
        for own, others in ((self.parts(), other.parts()), (self.features, other.features)):
            more, fewer = [f for f in own if f not in others], [f"no {f}" for f in others if f not in own]
            if more or fewer:
                return more or fewer
        return []

    def parts(self) -> list[str]:
        """The processor, its architecture and the GPU, in words."""
        gpu = self.gpu
        of_gpu = [gpu.name, f"compute capability {gpu.compute_capability}", f"CUDA {gpu.cuda}"] if gpu else []
        return [part for part in (self.processor, self.architecture, *of_gpu) if part]


def this_machine(device: Literal["cpu", "gpu"] = "cpu") -> Machine:
    """The machine that this process runs on; with its GPU where the device is one."""
    architecture = platform.machine()
    return Machine(
        architecture=architecture,
        processor=cpu_name(),
        features=tuple(flag for flag in cpu_flags() if flag.startswith(_KERNEL_FEATURES.get(architecture, ()))),
        gpu=first_gpu() if device == "gpu" else None,
    )


def first_gpu() -> Gpu | None:
    """The first CUDA device, asked of the driver itself: every runtime on it has loaded that library. None: no device.

    https://docs.nvidia.com/cuda/cuda-driver-api/
    """
    try:
        driver = ctypes.CDLL(_CUDA_DRIVER)
    except OSError:
        return None
    device, version = ctypes.c_int(), ctypes.c_int()
    major, minor = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    is_there = (
        driver.cuInit(0) == 0
        and driver.cuDriverGetVersion(ctypes.byref(version)) == 0
        and driver.cuDeviceGet(ctypes.byref(device), 0) == 0
        and driver.cuDeviceGetName(name, len(name), device) == 0
        and driver.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device) == 0
        and driver.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device) == 0
    )
    if not is_there:
        return None
    return Gpu(
        name=name.value.decode("utf-8", "replace"),
        compute_capability=f"{major.value}.{minor.value}",
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
    )
