"""Drives a server with the unmodified tritonclient and prints what it found out, as one line of JSON.

Runs in `.venv-interop`. Usage: triton_client.py HOST:PORT
"""

import base64
import json
import queue
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient.grpc import (
    InferenceServerClient,
    InferInput,
    InferRequestedOutput,
    InferResult,
    model_config_pb2,
    service_pb2,
)
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

DTYPES = ("bool", "uint8", "int32", "int64", "float16", "float32", "float64", "string")


def tensor(name: str, array: np.ndarray) -> InferInput:
    made = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array)
    return made


def two() -> list[InferInput]:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    return [tensor("a", array), tensor("b", array)]


def refusal(call: Callable[[], object]) -> list[str]:
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return ["OK", ""]


def echoes(client: InferenceServerClient) -> dict[str, bool]:
    found = {}
    for dtype in DTYPES:
        numbers = np.array([[0, 1, 2, 3], [4, 5, 6, 255]])
        strings = np.array([[b"", b"a\0", "grüße".encode(), b"x" * 9000]] * 2, object)
        sent = strings if dtype == "string" else numbers.astype(dtype)
        came = client.infer(f"echo_{dtype}", [tensor("x", sent)]).as_numpy("y")
        found[dtype] = came.dtype == sent.dtype and came.tolist() == sent.tolist()
    sent = np.array(2.5, np.float32)
    came = client.infer("scalar", [tensor("x", sent)]).as_numpy("y")
    found["scalar"] = came.shape == () and came == sent
    return {name: bool(value) for name, value in found.items()}


def answers(client: InferenceServerClient) -> dict[str, Any]:
    latest = client.infer("two", two(), request_id="7 of 9")
    first = client.infer("two", two(), model_version="1", outputs=[InferRequestedOutput("difference")])
    limits = {"timeout": 10_000_000, "client_timeout": 10.0, "priority": 1}
    packed = client.infer("two", two(), compression_algorithm="gzip", parameters={"note": "for nobody"}, **limits)
    done: queue.Queue[tuple[InferResult, Exception | None]] = queue.Queue()
    client.async_infer("two", two(), callback=lambda result, error: done.put((result, error)))
    later, error = done.get(timeout=20)
    return {
        "total": latest.as_numpy("total").tolist(),
        "difference": latest.as_numpy("difference").tolist(),
        "id": latest.get_response().id,
        "version": latest.get_response().model_version,
        "outputs": [output.name for output in latest.get_response().outputs],
        "first_version": first.get_response().model_version,
        "first_outputs": [output.name for output in first.get_response().outputs],
        "packed": packed.as_numpy("total").tolist(),
        "async": later.as_numpy("total").tolist(),
        "async_error": str(error) if error else None,
    }


def descriptions(client: InferenceServerClient) -> dict[str, Any]:
    as_json = {"as_json": True}
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("two"),
        "version_ready": client.is_model_ready("two", "1"),
        "broken_ready": client.is_model_ready("broken"),
        "server": client.get_server_metadata(**as_json),
        "metadata": client.get_model_metadata("two", **as_json),
        "config": client.get_model_config("two", **as_json),
        "index": client.get_model_repository_index(**as_json),
        "statistics": client.get_inference_statistics("two", **as_json),
    }


def refusals(client: InferenceServerClient) -> dict[str, list[str]]:
    wrong = [tensor("a", np.zeros((1, 4))), tensor("c", np.zeros((1, 3), np.float32))]
    slow = [tensor("x", np.zeros((1000, 1024), np.float32))]
    return {
        "unknown model": refusal(lambda: client.infer("nobody", two())),
        "unknown version": refusal(lambda: client.infer("two", two(), model_version="7")),
        "unknown output": refusal(lambda: client.infer("two", two(), outputs=[InferRequestedOutput("sum")])),
        "wrong inputs": refusal(lambda: client.infer("two", wrong)),
        "broken model": refusal(lambda: client.infer("broken", two())),
        "late": refusal(lambda: client.infer("slow", slow, timeout=20_000)),
        "sequence": refusal(lambda: client.infer("two", two(), sequence_id=7, sequence_start=True)),
        "classification": refusal(
            lambda: client.infer("two", two(), outputs=[InferRequestedOutput("total", class_count=2)])
        ),
        "load": refusal(lambda: client.load_model("two")),
        "unload": refusal(lambda: client.unload_model("two")),
        "shared memory": refusal(client.get_system_shared_memory_status),
        "cuda shared memory": refusal(client.get_cuda_shared_memory_status),
        "trace": refusal(client.get_trace_settings),
        "log": refusal(client.get_log_settings),
    }


def streamed(client: InferenceServerClient) -> list[list[str]]:
    """The ids of a stream's answers, with their first value or their error."""
    done: queue.Queue[tuple[InferResult | None, InferenceServerException | None]] = queue.Queue()
    client.start_stream(callback=lambda result, error: done.put((result, error)))
    for number in range(5):
        client.async_stream_infer("two" if number != 3 else "nobody", two(), request_id=str(number))
    told = [done.get(timeout=20) for _ in range(5)]
    client.stop_stream()
    return [
        [result.get_response().id, str(result.as_numpy("total").ravel()[0])] if result else ["", str(error)]
        for result, error in told
    ]


def main() -> None:
    client = InferenceServerClient(sys.argv[1])
    found = {
        "echoes": echoes(client),
        "answers": answers(client),
        "stream": streamed(client),
        "descriptions": descriptions(client),
        "refusals": refusals(client),
        "protos": [
            base64.b64encode(each.DESCRIPTOR.serialized_pb).decode() for each in (service_pb2, model_config_pb2)
        ],
    }
    client.close()
    print(json.dumps(found))  # noqa: T201 (its answer)


if __name__ == "__main__":
    main()
