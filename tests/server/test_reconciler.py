"""Rounds over a real repository in the test's own process, for what no repository brings about by itself."""

import asyncio
from pathlib import Path

import pytest

from kedge_server.reconciler import ModelWish
from kedge_server.version_policy import VersionPolicy
from tests.server.in_process import tampered
from tests.server.shop import Shop, stocked
from tests.services.bundles import identity, publish


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return stocked(tmp_path / "models")


def test_a_version_on_a_lost_device_is_neither_tried_again_nor_freed(path: Path):
    async def story() -> None:
        shop = Shop(path)
        await shop.start()
        (model,) = shop.models.versions("m")
        shop.models.set_failed(model, "the device cuda:0 is lost")
        await shop.reconciler.bring_about(["m"])
        shop.reconciler.wish_unloaded("m")
        await shop.reconciler.bring_about()
        assert shop.states() == {"m/1": "failed", "other/1": "ready"}
        assert shop.models.versions("m") == [model]
        assert model.parts is not None
        assert not shop.models.is_ready
        await shop.lifecycle.close()

    asyncio.run(story())


def test_no_model_is_missing_while_another_version_takes_the_place_of_a_broken_one_at_the_start(path: Path):
    tampered(publish(identity(), path, "m").directory)

    async def story() -> None:
        shop = Shop(path, VersionPolicy.parse("latest:1"))
        seen: list[dict[str, str]] = []

        async def watch() -> None:
            while True:
                if shop.models.is_ready:
                    seen.append(shop.states())
                await shop.models.changed(shop.models.generation)

        watching = asyncio.create_task(watch())
        await shop.start()
        await asyncio.sleep(0)
        watching.cancel()
        assert seen
        assert all(states == {"m/1": "ready", "m/2": "failed", "other/1": "ready"} for states in seen)
        await shop.lifecycle.close()

    asyncio.run(story())


def test_models_that_no_operator_named_stay_unloaded_when_new_versions_come(path: Path):
    async def story() -> None:
        shop = Shop(path)
        await shop.start()
        shop.reconciler.wish_only({"m": ModelWish(VersionPolicy(latest=1), {})})
        publish(identity(), path, "m")
        publish(identity(), path, "other")
        publish(identity(), path, "new")
        await shop.reconciler.bring_about(["m"])
        await shop.lifecycle.drained("m")
        await shop.lifecycle.drained("other")
        assert shop.states() == {"m/2": "ready"}
        shop.reconciler.wish_loaded("new")
        await shop.reconciler.bring_about(["new"])
        assert shop.states() == {"m/2": "ready", "new/1": "ready"}
        await shop.lifecycle.close()

    asyncio.run(story())


def test_labels_stay_while_the_directory_of_their_model_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def story() -> None:
        for _ in range(2):
            publish(identity(), tmp_path, "m")
        (tmp_path / "m" / "labels.json").write_text('{"stable": 1}')
        shop = Shop(tmp_path)
        await shop.start()
        assert shop.models.labels("m") == {"stable": 1}

        def refused(_: Path) -> list[tuple[int, Path]]:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("kedge_bundle.store.versions", refused)
        await shop.reconciler.bring_about()
        assert shop.models.labels("m") == {"stable": 1}
        await shop.lifecycle.close()

    asyncio.run(story())
