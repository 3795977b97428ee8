"""What operators may ask for while the server runs: load a model, unload one, serve these and no others.

No wire type here; `wire/` has the two protocols' words for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from kedge_bundle.signature import Violation
from kedge_server.errors import InvalidInput, ModelNotFound, NotAllowed, NotLoaded
from kedge_server.labels import shown
from kedge_server.lifecycle import Lifecycle
from kedge_server.models import ModelTable
from kedge_server.reconciler import ModelWish, Reconciler

_log = structlog.get_logger("kedge.admin")


@dataclass(frozen=True)
class ModelRequest:
    """One model of those that an operator wants served.

    Attributes:
        wish: its versions and labels.
        base_path: where the operator takes it to be; empty is wherever it is.
    """

    wish: ModelWish
    base_path: str = ""


class Admin:
    """The requests of operators.

    Args:
        reconciler: brings their wishes about.
        lifecycle: knows when a version has gone.
        models: the table of versions.
        is_allowed: whether there are operators at all.
    """

    def __init__(self, reconciler: Reconciler, lifecycle: Lifecycle, models: ModelTable, *, is_allowed: bool) -> None:
        self._reconciler = reconciler
        self._lifecycle = lifecycle
        self._models = models
        self.is_allowed = is_allowed

    def check_allowed(self) -> None:
        """Refuse everything where there are no operators.

        Raises:
            NotAllowed: always, without --allow-admin.
        """
        if not self.is_allowed:
            raise NotAllowed("loading and unloading by request is off: start the server with --allow-admin on")

    async def load(self, name: str) -> None:
        """Look at a model's directory and serve the versions that are wanted; those that have failed are tried again.

        Raises:
            NotAllowed: there are no operators.
            ModelNotFound: the repository has no such model.
            NotLoaded: a version that is wanted cannot be served; what has been answering still is.
        """
        await self._begin()
        await self._check_known([name])
        _log.info("asked_to_load", model=name)
        self._reconciler.wish_loaded(name)
        await self._bring_about([name])

    async def unload(self, name: str) -> None:
        """Drain and unload every version of a model; it stays so until it is loaded by request.

        Raises:
            NotAllowed: there are no operators.
            ModelNotFound: no version of such a model is known.
        """
        await self._begin()
        if not self._models.versions(name):
            raise ModelNotFound(f"model '{shown(name)}' is not here")
        _log.info("asked_to_unload", model=name)
        self._reconciler.wish_unloaded(name)
        await self._reconciler.bring_about()
        await self._lifecycle.drained(name)

    async def serve_only(self, requests: Mapping[str, ModelRequest]) -> None:
        """Serve these models, and unload all others.

        Raises:
            NotAllowed: there are no operators.
            InvalidInput: a `base_path` is not the model's directory in this repository.
            ModelNotFound: the repository has no such model; nothing is changed.
            NotLoaded: a version that is wanted cannot be served, or a label's version is not there.
        """
        await self._begin()
        await self._check_known(list(requests))
        here = self._reconciler.repository
        violations = [
            Violation(
                f"{name}.base_path",
                f"model '{name}': expected the base_path {here.directory_of(name)}, got '{shown(request.base_path)}'",
            )
            for name, request in requests.items()
            if request.base_path and not here.is_directory_of(name, request.base_path)
        ]
        if violations:
            raise InvalidInput(violations)
        _log.info("asked_to_serve_only", models=sorted(requests))
        self._reconciler.wish_only({name: request.wish for name, request in requests.items()})
        await self._bring_about(list(requests))

    async def _begin(self) -> None:
        """Let operators do something, once the server has loaded what it found at its start.

        Raises:
            NotAllowed: there are no operators.
        """
        self.check_allowed()
        await self._reconciler.has_started.wait()

    async def _check_known(self, names: list[str]) -> None:
        sight = await self._reconciler.look()
        unknown = [name for name in names if name not in sight.places and not self._models.versions(name)]
        if unknown:
            raise ModelNotFound(f"the repository has no model '{shown(unknown[0])}'")

    async def _bring_about(self, names: list[str]) -> None:
        """Let wishes become true, or say which do not."""
        for name in names:
            await self._lifecycle.drained(name)
        await self._reconciler.bring_about(names)
        faults = [
            f"model '{model.name}' version {model.version}: {model.reason}"
            for model in self._models.entries()
            if model.name in names and model.state == "failed"
        ]
        faults += [
            f"model '{name}' has no version {version}" for name in names for version in self._reconciler.missing(name)
        ]
        faults += [
            f"label '{label}' of model '{name}' waits for version {version}, which is not ready"
            for name in names
            for label, version in self._models.waiting_labels(name).items()
        ]
        if faults:
            raise NotLoaded("; ".join(faults))
        for name in names:
            if not any(model.state == "ready" for model in self._models.versions(name)):
                raise NotLoaded(f"model '{name}' has no version that is wanted")
