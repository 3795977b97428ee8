"""The floor that servers are compared with: grpcio's asyncio server on uvloop, which sends back what it gets.

    python -m benchmarks.echo

One process, no model, no message parsed: every unary method answers with the request's bytes, and a method whose name
has `Stream` in it with each message's. Prints the port that it listens on.
"""

import asyncio
from collections.abc import AsyncIterator

import grpc
import uvloop

_Context = grpc.aio.ServicerContext[bytes, bytes]


class _Echo(grpc.GenericRpcHandler):
    def service(self, call: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        if "Stream" in call.method:
            return grpc.stream_stream_rpc_method_handler(_each)
        return grpc.unary_unary_rpc_method_handler(_same)


async def _same(message: bytes, _: _Context) -> bytes:
    return message


async def _each(messages: AsyncIterator[bytes], _: _Context) -> AsyncIterator[bytes]:
    async for message in messages:
        yield message


async def serve(handler: grpc.GenericRpcHandler) -> None:
    """Answer every call with a handler, on a port of the system's choice, which is printed."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(_Echo()))
