"""When the repository is looked at; what a look then does is `test_reconciler.py`'s."""

import asyncio
from pathlib import Path

import pytest

from kedge_server.following import follow
from kedge_server.repository import Sight
from tests.server.shop import Shop, stocked
from tests.services.bundles import identity, publish


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return stocked(tmp_path / "models")


def test_a_fault_in_a_look_does_not_end_the_watch(path: Path, monkeypatch: pytest.MonkeyPatch):
    async def story() -> None:
        shop = Shop(path)
        await shop.start()
        looks = 0
        look = shop.repository.look

        def faulty() -> Sight:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise RuntimeError("nobody has thought of this")
            return look()

        monkeypatch.setattr(shop.repository, "look", faulty)
        monkeypatch.setattr("kedge_server.following._BLIND_LOOK_S", 0.05)
        publish(identity(), path, "m")
        following = asyncio.create_task(follow(shop.reconciler))
        async with asyncio.timeout(30):
            while shop.states() != {"m/1": "ready", "m/2": "ready", "other/1": "ready"}:
                await shop.models.changed(shop.models.generation)
        following.cancel()
        await asyncio.wait([following])
        await shop.lifecycle.close()

    asyncio.run(story())
