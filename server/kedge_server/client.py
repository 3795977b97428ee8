"""A small client for both protocols: arrays by name in, arrays by name out.

    with Client("localhost:8500") as client:
        answers = client.predict("digits", {"image": images})

Needs numpy, grpcio, protobuf and googleapis-common-protos (for the details of errors): no TensorFlow, no Triton
client, no schema library, nothing of the server but the messages on the wire. Threads may share a client.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

import grpc
import numpy as np
from numpy.typing import ArrayLike, NDArray

from kedge_server.wire.caller.answers import Answer, Arrays, Metadata, Strayed, Tensor
from kedge_server.wire.caller.errors import ClientError, ServerUnreachable, Violation
from kedge_server.wire.caller.open_inference import OpenInference
from kedge_server.wire.caller.tensorflow_serving import TensorflowServing

__all__ = [
    "PROTOCOLS",
    "Answer",
    "Arrays",
    "Client",
    "ClientError",
    "Metadata",
    "Protocol",
    "ServerUnreachable",
    "Strayed",
    "Tensor",
    "Violation",
]

Protocol = Literal["open-inference", "tensorflow-serving"]
PROTOCOLS: tuple[Protocol, ...] = ("open-inference", "tensorflow-serving")


class Client:
    """Talks to one server over an unencrypted channel.

    Args:
        address: host:port.
        protocol: which of the two protocols to speak; the answers are the same.
    """

    def __init__(self, address: str, protocol: Protocol = "open-inference") -> None:
        if protocol not in PROTOCOLS:
            raise ValueError(f"expected a protocol among {', '.join(PROTOCOLS)}, got '{protocol}'")
        # The server says how large a message may be; gRPC's own limit for answers would be 4 MB.
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=unlimited)
        self._dialect = (OpenInference if protocol == "open-inference" else TensorflowServing)(self._channel)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        version: int | str | None = None,
        outputs: Iterable[str] = (),
        timeout_s: float | None = None,
    ) -> Arrays:
        """The model's outputs by name; arguments and errors are those of `ask`."""
        return self.ask(model, inputs, version=version, outputs=outputs, timeout_s=timeout_s).outputs

    def ask(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        version: int | str | None = None,
        outputs: Iterable[str] = (),
        timeout_s: float | None = None,
    ) -> Answer:
        """Send arrays to a model and wait for its outputs, which may be read-only views, and the server's warnings.

        Args:
            model: its name.
            inputs: arrays by input name, each (rows, ...), of the dtypes that the model takes; text as str or bytes.
            version: its number, or a label such as `stable`; the latest when None.
            outputs: the outputs to answer; every one when empty.
            timeout_s: seconds to wait; for ever when None.

        Raises:
            ClientError: the server refused, failed, or did not answer in time.
            ServerUnreachable: there is no server at this address.
            ValueError: an array of a dtype that the protocols do not carry.
        """
        arrays = {name: _tensor(array) for name, array in inputs.items()}
        return self._dialect.ask(model, arrays, version, tuple(outputs), timeout_s)

    def metadata(self, model: str, *, version: int | str | None = None, timeout_s: float | None = None) -> Metadata:
        """A model's inputs and outputs. Errors are those of `ask`."""
        return self._dialect.metadata(model, version, timeout_s)

    def is_ready(self, model: str, *, version: int | str | None = None, timeout_s: float | None = None) -> bool:
        """Whether the server is there and the model answers; errors, an unknown model's for one, are those of `ask`."""
        try:
            return self._dialect.is_ready(model, version, timeout_s)
        except ServerUnreachable:
            return False

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tensor(array: ArrayLike) -> NDArray[Any]:
    """The array as the wire carries it: text as an object array of bytes, numbers in this machine's byte order."""
    made = np.asarray(array)
    if made.dtype.kind in "USO":
        return _strings(made)
    return made.astype(made.dtype.newbyteorder("="), copy=False)


def _strings(array: NDArray[Any]) -> NDArray[Any]:
    strings = np.empty(array.shape, object)
    for index, item in np.ndenumerate(array):
        if not isinstance(item, str | bytes):
            raise ValueError(f"expected str or bytes in an array of text, got {type(item).__name__} at {list(index)}")  # noqa: TRY004 (one error for every array that cannot travel)
        strings[index] = item.encode() if isinstance(item, str) else bytes(item)
    return strings
