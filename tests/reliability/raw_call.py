"""A gRPC client that misbehaves: HTTP/2 frames (RFC 9113) on a socket of its own, so that it can stop anywhere."""

import socket
import struct
from types import TracebackType
from typing import Self

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
FIRST_WINDOW = 65_535
"""Bytes that either side may send before the other has read any: HTTP/2's default, for a connection in all."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4


class RawConnection:
    """Sends what it is told to and never reads, so that the server may send 64 kB of answers and not a byte more."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._authority = address
        self._socket = socket.create_connection((host, int(port)))
        self._stream = -1
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def call(self, message: bytes, *, path: str = INFER, grpc_timeout: str = "", sent: int | None = None) -> None:
        """Begin a call and send the first `sent` bytes of its message; all of them, and the call's end, when None."""
        self._stream += 2
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": self._authority,
            "te": "trailers",
            "content-type": "application/grpc",
        } | ({"grpc-timeout": grpc_timeout} if grpc_timeout else {})
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())
        data = (struct.pack(">BI", 0, len(message)) + message)[:sent]
        frames = [_frame(_HEADERS, _END_HEADERS, self._stream, block)]
        frames += [_frame(_DATA, 0, self._stream, data[at : at + 16_384]) for at in range(0, len(data), 16_384)]
        if sent is None:
            frames.append(_frame(_DATA, _END_STREAM, self._stream))
        self._socket.sendall(b"".join(frames))

    def close(self) -> None:
        """Go away as a process that is killed does: what is unread makes it a reset."""
        self._socket.close()


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _text(text: str) -> bytes:
    """A string of HPACK (RFC 7541) without compression, shorter than 127 bytes."""
    return bytes([len(text)]) + text.encode("ascii")
