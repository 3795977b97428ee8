"""A reconciler over a real repository, in the test's own process."""

import asyncio
from pathlib import Path

from kedge_server.lifecycle import Lifecycle
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from kedge_server.reconciler import Reconciler
from kedge_server.repository import Repository
from kedge_server.session import Options
from kedge_server.version_policy import ALL, VersionPolicy
from tests.server.in_process import LIMITS
from tests.services.bundles import identity, publish


def stocked(path: Path) -> Path:
    """Make `path` a repository of `m` and `other`, one version each."""
    for name in ("m", "other"):
        publish(identity(), path, name)
    return path


class Shop:
    """A reconciler with everything that it works with."""

    def __init__(self, path: Path, policy: VersionPolicy = ALL, instances: int = 1) -> None:
        self.models = ModelTable()
        self.metrics = Metrics(self.models, "test")
        self.repository = Repository(path)
        self.lifecycle = Lifecycle(
            self.models, self.metrics, Options(device="cpu", instances=instances), LIMITS, lambda _device, _error: None
        )
        self.reconciler = Reconciler(self.repository, self.lifecycle, self.models, policy, ())

    async def start(self) -> None:
        places = await self.reconciler.first_places()
        for place in places:
            self.lifecycle.announce(place, is_needed=True)
        assert await self.lifecycle.load_all(places, asyncio.Event())
        await self.reconciler.finish_start()

    def states(self) -> dict[str, str]:
        return {f"{model.name}/{model.version}": model.state for model in self.models.entries()}
