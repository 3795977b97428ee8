"""Whether a server's metrics add up: each request that came in has ended in exactly one way."""

import time
from collections import Counter

from tests.services.server_process import ServerProcess

SETTLED_S = 20.0


def assert_it_adds_up(server: ServerProcess) -> None:
    """Started is answered and failed and cancelled, by code and by duration; nothing is left behind.

    Waits for requests whose callers are gone already.
    """
    end = time.monotonic() + SETTLED_S
    while server.metric("kedge_inflight_requests") and time.monotonic() < end:
        time.sleep(0.05)
    assert server.metric("kedge_inflight_requests") == 0
    started = sum(value for _, value in server.samples("kedge_requests_started_total"))
    ended = sum(value for _, value in server.samples("kedge_requests_total"))
    timed = sum(value for _, value in server.samples("kedge_request_duration_seconds_count"))
    assert started == ended == timed > 0
    refused = sum(value for _, value in server.samples("kedge_rejections_total"))
    assert ended - ended_with(server)["OK"] == refused
    assert {value for _, value in server.samples("kedge_queue_rows")} == {0}
    known = {model["name"] for model in server.get("/readyz").json()["models"]}
    assert {labels["model"] for labels, _ in server.samples("kedge_requests_total")} <= known | {""}


def ended_with(server: ServerProcess) -> Counter[str]:
    """Code -> how many requests ended with it, whatever the model and the protocol."""
    counted: Counter[str] = Counter()
    for labels, value in server.samples("kedge_requests_total"):
        counted[labels["code"]] += int(value)
    return counted
