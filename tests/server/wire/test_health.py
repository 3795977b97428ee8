"""Health by the table of models: every change of state, as probes and watchers see it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListRequest

from kedge_server.errors import ModelNotFound
from kedge_server.models import ModelTable
from kedge_server.pb import open_inference_pb2
from kedge_server.served_model import ServedModel
from kedge_server.wire.health import HealthService

INFERENCE = open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
Status = HealthCheckResponse.ServingStatus
CONTEXT: Any = None  # health looks at the request only


class Table:
    """A table with one loading model, and what probes say about it."""

    def __init__(self) -> None:
        self.models = ModelTable()
        self.health = HealthService(self.models, [INFERENCE])
        self.first = self.add(1)

    def add(self, version: int) -> ServedModel:
        model = ServedModel("m", version, Path("nowhere"))
        self.models.add(model)
        return model

    def make_ready(self, model: ServedModel) -> None:
        loaded: Any = object()  # what a loaded model has is of no interest to probes
        self.models.set_ready(model, loaded)

    async def check(self, service: str) -> str:
        return Status.Name((await self.health.check(HealthCheckRequest(service=service), CONTEXT)).status)

    def watch(self, service: str) -> AsyncIterator[HealthCheckResponse]:
        return self.health.watch(HealthCheckRequest(service=service), CONTEXT)


async def upcoming(watch: AsyncIterator[HealthCheckResponse]) -> str:
    return Status.Name((await asyncio.wait_for(anext(watch), 5)).status)


def test_check_follows_the_models():
    async def story() -> None:
        table = Table()
        names = ["", "inference.GRPCInferenceService", "m", "m/1"]
        assert {await table.check(name) for name in names} == {"NOT_SERVING"}
        table.make_ready(table.first)
        assert {await table.check(name) for name in names} == {"SERVING"}
        table.models.set_failed(table.add(2), "broken")
        assert [await table.check(name) for name in [*names, "m/2"]] == [
            "NOT_SERVING",
            "NOT_SERVING",
            "SERVING",
            "SERVING",
            "NOT_SERVING",
        ]

    asyncio.run(story())


@pytest.mark.parametrize("service", ["nobody", "m/2", "m/", "m/1/", "m/01", "/1", "/", "M", "m/../m", "m\0"])
def test_check_of_an_unknown_service_is_not_found(service: str):
    async def story() -> None:
        with pytest.raises(ModelNotFound, match="no model and no service"):
            await Table().check(service)

    asyncio.run(story())


def test_watch_tells_every_change_and_ends_when_the_server_drains():
    async def story() -> None:
        table = Table()
        server, model = table.watch(""), table.watch("m")
        assert [await upcoming(server), await upcoming(model)] == ["NOT_SERVING", "NOT_SERVING"]
        waiting = asyncio.ensure_future(upcoming(server))
        await asyncio.sleep(0)
        table.make_ready(table.first)
        assert [await waiting, await upcoming(model)] == ["SERVING", "SERVING"]
        table.models.set_draining()
        assert [await upcoming(server), await upcoming(model)] == ["NOT_SERVING", "NOT_SERVING"]
        for watch in (server, model):
            with pytest.raises(StopAsyncIteration):
                await anext(watch)

    asyncio.run(story())


def test_watch_says_a_status_once_although_other_models_change():
    async def story() -> None:
        table = Table()
        table.make_ready(table.first)
        watch = table.watch("m/1")
        assert await upcoming(watch) == "SERVING"
        following = asyncio.ensure_future(upcoming(watch))
        table.add(2)
        await asyncio.sleep(0.05)
        assert not following.done()
        following.cancel()

    asyncio.run(story())


def test_watch_of_an_unknown_service_waits_for_it():
    async def story() -> None:
        table = Table()
        watch = table.watch("m/2")
        assert await upcoming(watch) == "SERVICE_UNKNOWN"
        second = table.add(2)
        assert await upcoming(watch) == "NOT_SERVING"
        table.make_ready(second)
        assert await upcoming(watch) == "SERVING"

    asyncio.run(story())


def test_list_names_the_server_the_models_and_their_versions():
    async def story() -> None:
        table = Table()
        table.make_ready(table.first)
        listed = (await table.health.list(HealthListRequest(), CONTEXT)).statuses
        assert {name: Status.Name(each.status) for name, each in listed.items()} == dict.fromkeys(
            ["", "inference.GRPCInferenceService", "m", "m/1"], "SERVING"
        )

    asyncio.run(story())
