import asyncio
import time

from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from kedge_server.quiet import until_quiet


def draining(metrics: Metrics, limit_s: float = 30.0) -> asyncio.Task[None]:
    return asyncio.create_task(until_quiet(metrics, time.monotonic() + limit_s))


def refuse(metrics: Metrics) -> None:
    """What becomes of a call that comes while the server drains."""
    metrics.finish(metrics.start("open-inference"))


def test_whoever_gets_the_last_answer_may_call_once_more_before_it_is_quiet():
    """However long that answer took: nobody else has called meanwhile."""

    async def story() -> None:
        metrics = Metrics(ModelTable(), "test")
        last = metrics.start("open-inference")
        drain = draining(metrics)
        await asyncio.sleep(1.5)
        metrics.finish(last)
        await asyncio.sleep(0.03)
        assert not drain.done()
        refuse(metrics)
        await asyncio.sleep(0.03)
        assert not drain.done()
        await drain

    asyncio.run(story())


def test_it_is_quiet_in_the_end_though_somebody_keeps_calling():
    async def story() -> None:
        metrics = Metrics(ModelTable(), "test")
        drain = draining(metrics)
        while not drain.done():
            refuse(metrics)
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(story(), 20))


def test_nobody_is_waited_for_longer_than_the_limit():
    async def story() -> int:
        metrics = Metrics(ModelTable(), "test")
        metrics.start("open-inference")
        await draining(metrics, limit_s=0.2)
        return metrics.inflight

    assert asyncio.run(story()) == 1
