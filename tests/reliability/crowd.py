"""Many callers in one thread: as many requests as possible in the time there is, with hardly a look at the answers."""

import asyncio

import grpc
import numpy as np

from tests.reliability.raw_call import INFER
from tests.reliability.requests import PREDICT, infer_request, predict_request

CALLERS = 16


def ask_many(address: str, model: str, requests: int) -> None:
    """Let callers of both protocols who come, ask and go have so many answers of an identity model of width 4."""
    asyncio.run(_ask_many(address, model, requests))


async def _ask_many(address: str, model: str, requests: int) -> None:
    each, rest = divmod(requests, CALLERS)
    await asyncio.gather(*(_ask(address, model, number, each + (number < rest)) for number in range(CALLERS)))


async def _ask(address: str, model: str, number: int, requests: int) -> None:
    x = np.full((1 + number % 3, 4), number, np.float32)
    path, request = (INFER, infer_request(model, x)) if number % 2 else (PREDICT, predict_request(model, x))
    # Otherwise callers in one process share one connection.
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.unary_unary(path)
        for _ in range(requests):
            assert x.tobytes() in await call(request, timeout=60)
