import asyncio
from pathlib import Path

import pytest

from kedge_bundle.store import Bundle
from kedge_server.errors import ModelNotFound, NotReady
from kedge_server.models import ModelTable
from kedge_server.served_model import Loaded, ServedModel
from tests.server.in_process import LIMITS, prepared
from tests.services.bundles import identity, publish


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return publish(identity(), tmp_path_factory.mktemp("models"), "m")


class Shelf:
    """A table whose versions become ready on demand."""

    def __init__(self, bundle: Bundle, required: tuple[str, ...] = ()) -> None:
        self._bundle = bundle
        self.table = ModelTable(required)

    def add(self, name: str, version: int) -> ServedModel:
        model = ServedModel(name, version, Path("nowhere"))
        self.table.add(model)
        return model

    async def ready(self, name: str, version: int) -> ServedModel:
        model = self.add(name, version)
        loaded = Loaded.start(name, prepared(self._bundle, instances=1), LIMITS, lambda _: None)
        await loaded.scheduler.close(10)  # nothing runs here
        self.table.set_ready(model, loaded)
        return model


def test_the_latest_ready_version_answers_and_any_by_its_number(bundle: Bundle):
    async def story() -> None:
        shelf = Shelf(bundle)
        versions = {number: await shelf.ready("m", number) for number in (2, 10, 9)}
        shelf.add("m", 11)  # still loading
        assert shelf.table.find("m") is versions[10]
        assert shelf.table.find("m", 9) is versions[9]
        assert [model.version for model in shelf.table.versions("m")] == [2, 9, 10, 11]
        with pytest.raises(NotReady, match="version 11 is not ready: loading"):
            shelf.table.find("m", 11)
        with pytest.raises(ModelNotFound, match="it has 2, 9, 10, 11"):
            shelf.table.find("m", 3)

    asyncio.run(story())


def test_a_model_none_of_whose_versions_is_ready_is_not_ready_rather_than_unknown(bundle: Bundle):
    shelf = Shelf(bundle)
    failed = shelf.add("m", 1)
    shelf.table.set_failed(failed, "broken")
    with pytest.raises(NotReady, match="version 1 is not ready: failed"):
        shelf.table.find("m")
    with pytest.raises(NotReady):
        _ = failed.signature
    assert (failed.bundle, failed.artifact, failed.device) == (None, None, "")


def test_an_unknown_model_is_told_what_there_is_but_not_a_thousand_names(bundle: Bundle):
    shelf = Shelf(bundle)
    with pytest.raises(ModelNotFound, match="there is no model"):
        shelf.table.find("x")
    for i in range(30):
        shelf.add(f"m{i:02}", 1)
    with pytest.raises(ModelNotFound, match="m08, m09 and 20 more"):
        shelf.table.find("x")
    assert shelf.table.versions("x") == []


def test_an_empty_table_is_not_ready(bundle: Bundle):
    assert Shelf(bundle).table.not_ready_reasons() == ["there is no model"]
    assert not Shelf(bundle).table.is_ready


def test_ready_means_every_version_that_was_found(bundle: Bundle):
    async def story() -> None:
        shelf = Shelf(bundle)
        good = await shelf.ready("good", 1)
        assert shelf.table.is_ready
        bad = shelf.add("bad", 1)
        assert shelf.table.not_ready_reasons() == ["model 'bad' version 1: loading"]
        shelf.table.set_failed(bad, "a wrong hash")
        assert shelf.table.not_ready_reasons() == ["model 'bad' version 1: failed: a wrong hash"]
        assert shelf.table.is_serving(good)
        assert not shelf.table.is_serving(bad)

    asyncio.run(story())


def test_only_required_models_count_where_some_are_named(bundle: Bundle):
    async def story() -> None:
        shelf = Shelf(bundle, required=("good", "absent"))
        await shelf.ready("good", 1)
        shelf.table.set_failed(shelf.add("bad", 1), "a wrong hash")
        assert shelf.table.not_ready_reasons() == ["required model 'absent' is not here"]
        await shelf.ready("absent", 1)
        assert shelf.table.is_ready

    asyncio.run(story())


def test_a_draining_server_is_not_ready_and_takes_no_new_request(bundle: Bundle):
    async def story() -> None:
        shelf = Shelf(bundle)
        model = await shelf.ready("m", 1)
        shelf.table.set_draining()
        assert not shelf.table.is_ready
        assert not shelf.table.is_serving(model)
        assert model.loaded  # a request that has found it before is answered
        with pytest.raises(NotReady, match="stopping"):
            shelf.table.find("m")

    asyncio.run(story())


def test_no_change_is_missed_between_two_waits(bundle: Bundle):
    async def story() -> None:
        shelf = Shelf(bundle)
        seen = shelf.table.generation
        model = shelf.add("m", 1)
        seen = await asyncio.wait_for(shelf.table.changed(seen), 5)  # it has changed already
        waiting = asyncio.ensure_future(shelf.table.changed(seen))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        shelf.table.set_failed(model, "broken")
        shelf.table.set_draining()
        assert await asyncio.wait_for(waiting, 5) == shelf.table.generation

    asyncio.run(story())
