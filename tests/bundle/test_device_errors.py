"""Which texts mean a dead CUDA context. They are onnxruntime's and TensorFlow's own, as their issues quote them."""

import numpy as np
import pytest

from kedge_bundle.runtimes.device_errors import is_device_lost

WHERE = " ; GPU=0 ; hostname=box ; file=/onnxruntime_src/gpu_data_transfer.cc ; line=73 ; expr=cudaMemcpyAsync(…)"
NONE: dict[str, np.ndarray] = {}


@pytest.mark.parametrize(
    "text",
    [
        "CUDA failure 700: an illegal memory access was encountered" + WHERE,
        "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Conv node. Name:'c' Status "
        "Message: CUDA failure 719: unspecified launch failure" + WHERE,
        "CUDA failure 710: device-side assert triggered" + WHERE,
        "CUDA failure 716: misaligned address" + WHERE,
        "CUDA failure 214: uncorrectable ECC error encountered" + WHERE,
        "CUDA failure 999: unknown error" + WHERE,
        "CUDA error cudaErrorIllegalAddress:an illegal memory access was encountered",
        "INTERNAL: Failed to synchronize: CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
        "failed to enqueue: CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error encountered",
    ],
)
def test_after_these_nothing_answers_on_the_device(text: str):
    assert is_device_lost(text, NONE)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA failure 2: out of memory" + WHERE,
        "CUDA error cudaErrorMemoryAllocation:out of memory",
        "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        "CUDA error cudaErrorNoKernelImageForDevice:no kernel image is available for execution on the device",
        "CUDA failure 7000: no such number" + WHERE,
        "CUDA_ERROR_UNKNOWNS",
        "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED" + WHERE,
        "Got invalid dimensions for input: x: index 1 Got: 700 Expected: 719",
        "",
    ],
)
def test_after_these_the_next_run_may_answer(text: str):
    assert not is_device_lost(text, NONE)


def test_a_caller_who_sends_such_a_text_does_not_end_a_server():
    text = "Cast: 'CUDA failure 700: an illegal memory access' is no number"
    sent = {"x": np.array([[b"fine"], [b"CUDA failure 700: an illegal memory access"]], object)}
    assert is_device_lost(text, {"x": np.array([[b"fine"]], object)})
    assert not is_device_lost(text, sent)
