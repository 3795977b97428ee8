"""The models that this server knows: which versions, in which state, and which of them answers. No wire type here.

The table is changed on the event loop's thread only; other threads may read it.
"""

import asyncio
from collections.abc import Mapping

from kedge_server.errors import ModelNotFound, NotReady
from kedge_server.labels import Labels, shown
from kedge_server.served_model import Loaded, ServedModel

_LISTED = 10


class ModelTable:
    """Every model version that was found, which of them answers, and the labels that name them.

    Args:
        required: the names of the models without which this server is not ready; empty: all that were found.
    """

    def __init__(self, required: tuple[str, ...] = ()) -> None:
        self._required = required
        self._models: dict[str, dict[int, ServedModel]] = {}  # replaced, never changed: other threads may be reading
        self._labels = Labels()
        self._generation = 0
        self._change = asyncio.Event()
        self.is_draining = False

    def find(self, name: str, version: int | None = None, label: str | None = None) -> ServedModel:
        """The model version that answers: the one with this number or label, or the latest that is ready.

        Raises:
            ModelNotFound: no such model, version or label.
            NotReady: it is known, but loading or failed; or the server is stopping.
        """
        if self.is_draining:
            raise NotReady("the server is stopping; ask another one")
        known = self._models.get(name)
        if known is None:
            raise ModelNotFound(f"model '{shown(name)}' is not here{self._suggestion()}")
        if label is not None:
            version = self._labels.version(name, label)
        if version is not None:
            model = known.get(version)
            if model is None:
                there = ", ".join(map(str, sorted(known)))
                raise ModelNotFound(f"model '{name}' has no version {version}; it has {there}")
        else:
            ready = [number for number, model in known.items() if model.state == "ready"]
            model = known[max(ready or known)]
        if model.state != "ready":
            raise NotReady(f"model '{name}' version {model.version} is not ready: {model.state}; /readyz says why")
        return model

    def entries(self) -> list[ServedModel]:
        """Every version of every model that is known, also those that load or failed, by name and version."""
        return [model for _, versions in sorted(self._models.items()) for _, model in sorted(versions.items())]

    def versions(self, name: str) -> list[ServedModel]:
        """Every known version of one model, lowest first; empty when there is no such model."""
        return [model for _, model in sorted(self._models.get(name, {}).items())]

    @property
    def is_ready(self) -> bool:
        """Whether this server should get traffic."""
        return not self.not_ready_reasons()

    def is_serving(self, model: ServedModel) -> bool:
        """Whether this version should get traffic: it is ready, and the server is not draining."""
        return model.state == "ready" and not self.is_draining

    def not_ready_reasons(self) -> list[str]:
        """Every reason why this server should get no traffic; empty when it should."""
        reasons = ["draining: the server was told to stop"] if self.is_draining else []
        models = self.entries()
        if not models:
            return [*reasons, "there is no model"]
        names = {model.name for model in models if model.is_needed}
        reasons += [f"required model '{name}' is not here" for name in self._required if name not in names]
        reasons += [
            f"model '{model.name}' version {model.version}: {model.state}"
            + (f": {model.reason}" if model.state == "failed" else "")
            for model in models
            if model.is_needed
            and model.state in ("loading", "failed")
            and (not self._required or model.name in self._required)
        ]
        if not any(model.state == "ready" for model in models):
            reasons.append("no model is ready")
        return reasons

    @property
    def generation(self) -> int:
        """Counts the changes of any state; see `changed`."""
        return self._generation

    async def changed(self, since: int) -> int:
        """Wait until `generation` is no longer `since`, and return it: no change is missed between two calls."""
        while self._generation == since:
            await self._change.wait()
        return self._generation

    def add(self, model: ServedModel) -> None:
        """Make a version known."""
        self._models = {**self._models, model.name: {**self._models.get(model.name, {}), model.version: model}}
        self._note_change()

    def remove(self, model: ServedModel) -> None:
        """Forget a version that no request is about any more."""
        left = {number: each for number, each in self._models[model.name].items() if each is not model}
        others = {name: versions for name, versions in self._models.items() if name != model.name}
        self._models = {**others, model.name: left} if left else others
        self._note_change()

    def set_ready(self, model: ServedModel, loaded: Loaded) -> None:
        """Let a version answer, and let the labels that have waited for it name it."""
        model.parts, model.state, model.reason, model.is_needed = loaded, "ready", "", True
        self._labels.move(model.name, self._ready(model.name))
        self._note_change()

    def set_failed(self, model: ServedModel, reason: str) -> None:
        """Say why a version cannot be served."""
        model.state, model.reason = "failed", reason
        self._note_change()

    def set_unneeded(self, model: ServedModel) -> None:
        """Let the server be ready without a version: others have taken its place."""
        model.is_needed = False
        self._note_change()

    def set_unloading(self, model: ServedModel) -> None:
        """Give a version to no further request. Those that have found it already are still answered."""
        model.state, model.reason = "unloading", "unloading"
        self._labels.move(model.name, self._ready(model.name))
        self._note_change()

    def labels(self, name: str) -> dict[str, int]:
        """The labels of a model and the versions that they name now."""
        return self._labels.of(name)

    def waiting_labels(self, name: str) -> dict[str, int]:
        """The labels of a model that are to name a version which is not ready yet."""
        return self._labels.waiting(name)

    def set_labels(self, name: str, labels: Mapping[str, int]) -> bool:
        """Say what the labels of a model are to name, each as soon as it is ready; True where one has moved."""
        return self._labels.set(name, labels, self._ready(name))

    def _ready(self, name: str) -> set[int]:
        return {version for version, model in self._models.get(name, {}).items() if model.state == "ready"}

    def set_draining(self) -> None:
        """Answer no further request. Those that have found their model already are still answered."""
        self.is_draining = True
        self._note_change()

    def _note_change(self) -> None:
        self._generation += 1
        self._change.set()
        self._change = asyncio.Event()

    def _suggestion(self) -> str:
        names = sorted(self._models)
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        return f"; there are {', '.join(names[:_LISTED])}{more}" if names else "; there is no model"
