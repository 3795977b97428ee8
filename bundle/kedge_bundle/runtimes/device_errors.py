"""Which errors of a runtime mean that the CUDA context is dead: nothing answers on that device again.

CUDA calls them sticky: every later call of the process returns the same error; only a new process has a new context.
https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html
"""

import re

from kedge_bundle.signature import Tensors

_FATAL: dict[int, tuple[str, str]] = {
    # number: the runtime API's name, the driver API's name
    214: ("cudaErrorECCUncorrectable", "CUDA_ERROR_ECC_UNCORRECTABLE"),
    220: ("cudaErrorNvlinkUncorrectable", "CUDA_ERROR_NVLINK_UNCORRECTABLE"),
    226: ("cudaErrorContained", "CUDA_ERROR_CONTAINED"),
    700: ("cudaErrorIllegalAddress", "CUDA_ERROR_ILLEGAL_ADDRESS"),
    702: ("cudaErrorLaunchTimeout", "CUDA_ERROR_LAUNCH_TIMEOUT"),
    709: ("cudaErrorContextIsDestroyed", "CUDA_ERROR_CONTEXT_IS_DESTROYED"),
    710: ("cudaErrorAssert", "CUDA_ERROR_ASSERT"),
    714: ("cudaErrorHardwareStackError", "CUDA_ERROR_HARDWARE_STACK_ERROR"),
    715: ("cudaErrorIllegalInstruction", "CUDA_ERROR_ILLEGAL_INSTRUCTION"),
    716: ("cudaErrorMisalignedAddress", "CUDA_ERROR_MISALIGNED_ADDRESS"),
    717: ("cudaErrorInvalidAddressSpace", "CUDA_ERROR_INVALID_ADDRESS_SPACE"),
    718: ("cudaErrorInvalidPc", "CUDA_ERROR_INVALID_PC"),
    719: ("cudaErrorLaunchFailure", "CUDA_ERROR_LAUNCH_FAILED"),
    721: ("cudaErrorTensorMemoryLeak", "CUDA_ERROR_TENSOR_MEMORY_LEAK"),
    999: ("cudaErrorUnknown", "CUDA_ERROR_UNKNOWN"),
}
"""Out of memory (2) is none of them: the next run may find room. CUBLAS_STATUS_EXECUTION_FAILED and its like are none
either: they may be of one call alone, and where the context is dead the next run's first copy says so by its number."""

_NUMBERS = "|".join(map(str, _FATAL))
_NAMES = "|".join(name for names in _FATAL.values() for name in names)
_SIGNS = re.compile(rf"\bCUDA (?:failure|error) (?:{_NUMBERS})\b|\b(?:{_NAMES})\b")
"""onnxruntime writes `CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; …` or
`CUDA error cudaErrorIllegalAddress:…`, TensorFlow `CUDA_ERROR_ILLEGAL_ADDRESS: …`."""


def is_device_lost(error: str, inputs: Tensors) -> bool:
    """Whether a runtime's error says that the CUDA context is dead.

    A text that stands in the inputs themselves says nothing: runtimes quote strings that they cannot read, and no
    caller shall end a server by sending one. (`str` of bytes writes ASCII as it is, which these texts are.)
    """
    sent = (str(item) for array in inputs.values() if array.dtype == object for item in array.flat)
    return _SIGNS.search(error) is not None and not any(_SIGNS.search(text) for text in sent)
