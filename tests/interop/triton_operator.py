"""What an operator does with Triton's client: prints what it found as JSON. Runs in `.venv-interop`."""

import json
import sys
from typing import Any

from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException


def states(client: InferenceServerClient) -> dict[str, str]:
    index: Any = client.get_model_repository_index(as_json=True)
    return {f"{model['name']}/{model['version']}": model["state"] for model in index.get("models", [])}


def main() -> None:
    client = InferenceServerClient(sys.argv[1])
    found: dict[str, Any] = {"at first": states(client)}
    client.unload_model("two")
    found["unloaded"] = states(client)
    client.load_model("two")
    found["loaded"] = states(client)
    try:
        client.load_model("two", config="{}")
    except InferenceServerException as error:
        found["refusal"] = [error.status(), error.message()]
    client.close()
    print(json.dumps(found))  # noqa: T201 (the test reads it)


main()
