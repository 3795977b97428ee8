"""When a drain may end: every request has its answer, and nobody is calling any more."""

import asyncio
import math
import time

from kedge_server.metrics import Metrics

_LOOK_S, _QUIET_LOOKS, _PATIENCE_S = 0.01, 10, 1.0
"""gRPC's stop cancels calls that have reached it but not yet us. So once every request has its answer, it waits until
none has come for so many looks, since whoever gets the last answer may call again; or for so long in all where somebody
keeps calling. Meanwhile each is told UNAVAILABLE, which callers know to send elsewhere. Looks, not seconds: on a busy
machine the loop may sleep longer than that, and find both at its waking."""


async def until_quiet(metrics: Metrics, end: float) -> None:
    """Wait until no request is in flight and none is on its way.

    Args:
        metrics: what counts them.
        end: wait no longer, in `time.monotonic()` seconds.
    """
    patience_ends = math.inf
    started, quiet = metrics.started, 0
    while (now := time.monotonic()) < end:
        if metrics.inflight or metrics.started != started:
            started, quiet = metrics.started, 0
        if not metrics.inflight:
            patience_ends = min(patience_ends, now + _PATIENCE_S)
            if quiet >= _QUIET_LOOKS or now >= patience_ends:
                return
        quiet += 1
        await asyncio.sleep(_LOOK_S)
