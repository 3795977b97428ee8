"""Makes what is served into what is wanted: looks at the repository, plans, and has versions loaded and retired.

A change of the disk, a request of an operator and the passing of time all do the same: they begin a round. Knows no
clock but for how long files have been still; `following.py` says when to look.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import structlog

from kedge_bundle.errors import BundleError
from kedge_bundle.store import UNLISTED
from kedge_server.aside import aside
from kedge_server.lifecycle import Lifecycle
from kedge_server.loading import Place
from kedge_server.models import ModelTable
from kedge_server.plan import Plan, Wish, plan
from kedge_server.repository import NOTHING, FilesPrint, Repository, Sight, files_print
from kedge_server.version_policy import Label, VersionPolicy, labels_of

SETTLED_S = 0.5
"""A new version is loaded once its files have not changed for so long: it may be on its way by copy."""

_log = structlog.get_logger("kedge.repository")


@dataclass(frozen=True)
class ModelWish:
    """What an operator wants of one model.

    Attributes:
        policy: None is the server's own.
        labels: label -> version.
    """

    policy: VersionPolicy | None
    labels: Mapping[str, int]


class Reconciler:
    """The wishes, and the rounds that bring them about. Used on the event loop's thread.

    Args:
        repository: where versions come from.
        lifecycle: loads and retires.
        models: the table that `lifecycle` fills.
        policy: which versions to serve of a model that no operator has spoken of.
        labels: of models that have no `labels.json`.

    Attributes:
        is_settled: False where a version waits for its files to be still; a round after `SETTLED_S` takes it up.
        has_started: set once everything that was found at the start is loaded, or cannot be.
    """

    def __init__(
        self,
        repository: Repository,
        lifecycle: Lifecycle,
        models: ModelTable,
        policy: VersionPolicy,
        labels: tuple[Label, ...],
    ) -> None:
        self.repository = repository
        self._lifecycle = lifecycle
        self._models = models
        self._policy = policy
        self._labels = labels
        self._file_labels: dict[str, Mapping[str, int]] = {}
        self._told: dict[str, object] = {}
        self._wishes: dict[str, ModelWish] | None = None
        self._unloaded: set[str] = set()
        self._turn = asyncio.Lock()
        self._rounds: set[asyncio.Task[Sight]] = set()
        self._tried: dict[Place, FilesPrint] = {}
        self._still: dict[Place, tuple[FilesPrint, float]] = {}
        self.is_settled = True
        self.has_started = asyncio.Event()

    async def first_places(self) -> list[Place]:
        """What to load before the server is ready.

        Raises:
            BundleError: there is no repository, or nothing in it.
        """
        sight = await aside(self.repository.look)
        self._take_labels(sight)
        places = [place for name, found in sight.places.items() for place in plan(self._wish(name), found, {}).load]
        self._tried = await aside(lambda: _prints(places))
        return places

    async def finish_start(self) -> None:
        """Load what takes the place of versions that could not be loaded, and let labels name their versions."""
        await self.bring_about()
        self.has_started.set()

    async def bring_about(self, at_once: Collection[str] = ()) -> Sight:
        """One round: load, retire and name until nothing is left to do.

        Args:
            at_once: models whose versions are loaded without waiting for their files to be still, also those that
                have failed before.

        Returns:
            What was seen last.
        """
        # A task of its own: a caller that goes away does not take the wish back, nor leave a version half loaded.
        turn = asyncio.create_task(self._round(at_once))
        self._rounds.add(turn)
        turn.add_done_callback(self._rounds.discard)
        return await asyncio.shield(turn)

    def wish_loaded(self, name: str) -> None:
        """Serve a model again that was unloaded."""
        self._unloaded.discard(name)
        if self._wishes is not None:
            self._wishes.setdefault(name, ModelWish(None, {}))

    def wish_unloaded(self, name: str) -> None:
        """Serve no version of a model."""
        self._unloaded.add(name)

    def wish_only(self, wishes: Mapping[str, ModelWish]) -> None:
        """Serve these models, and no others."""
        self._wishes = dict(wishes)
        self._unloaded.clear()

    async def _round(self, at_once: Collection[str]) -> Sight:
        async with self._turn:
            for model in self._models.entries():
                if model.name in at_once:
                    self._tried.pop(Place(model.name, model.version, model.directory), None)
            done: set[Place] = set()
            while True:
                sight = await self.look()
                place = await self._step(sight, at_once, done)
                if place is None:
                    return sight
                done.add(place)
                self._tried[place] = self._still[place][0]
                await self._lifecycle.load(place, is_needed=self._is_needed(place))

    def _wish(self, name: str) -> Wish:
        own = None if self._wishes is None else self._wishes.get(name)
        if name in self._unloaded or (self._wishes is not None and own is None):
            return Wish(self._policy, is_unloaded=True)
        if own is not None and own.labels:
            return Wish(own.policy or self._policy, own.labels)
        labels = self._file_labels.get(name, labels_of(name, self._labels))
        return Wish((own.policy if own else None) or self._policy, labels)

    def missing(self, name: str) -> tuple[int, ...]:
        """Versions that an operator asked for by their numbers and that are not there."""
        own = self._wishes.get(name) if self._wishes is not None else None
        asked = own.policy.specific if own is not None and own.policy is not None else ()
        known = {model.version for model in self._models.versions(name)}
        return tuple(version for version in asked if version not in known)

    async def look(self) -> Sight:
        """What there is; where the repository is gone, a sight without identity, in which nothing is missed."""
        try:
            sight = await aside(self.repository.look)
        except BundleError as error:
            if self._is_news("repository", "gone"):
                _log.warning("repository_gone", error=str(error), effect="what is loaded goes on answering")
            return NOTHING
        if self._is_news("repository", "there") and self.has_started.is_set():
            _log.info("repository_there", path=str(self.repository.path))
        self._take_labels(sight)
        return sight

    async def _step(self, sight: Sight, at_once: Collection[str], done: Collection[Place]) -> Place | None:
        """Do what takes no time, and return the version to load next; None where there is none."""
        changed = await self._changed_places(sight)
        load: list[Place] = []
        for name in sorted({*sight.places, *(model.name for model in self._models.entries())}):
            found = sight.places.get(name, {})
            known = {model.version: model.state for model in self._models.versions(name)}
            wish = self._wish(name)
            steps = plan(
                wish,
                found,
                known,
                changed=[version for version, place in found.items() if place in changed],
                labelled=self._models.labels(name).values(),
            )
            self._apply(name, steps, is_lost=sight.identity is None)
            self._name_versions(name, {} if wish.is_unloaded else wish.labels)
            load += [place for place in steps.load if place not in done]
        return await self._next_still(load, at_once)

    def _apply(self, name: str, steps: Plan, *, is_lost: bool) -> None:
        known = self._models.versions(name)
        # While it starts, a version gives its place to another when that is ready: nobody may see none missing between.
        has_another = self.has_started.is_set() or any(model.state == "ready" for model in known)
        for model in known:
            if model.version in steps.retire:
                self._lifecycle.retire(model)
            elif model.version in steps.forget and model.parts is None:  # parts: what a lost device cannot give back
                self._models.remove(model)
            elif model.version in steps.unwanted and model.is_needed and has_another:
                self._models.set_unneeded(model)
        if not is_lost and self._is_news(f"kept {name}", steps.kept) and steps.kept:
            _log.warning("versions_gone", model=name, versions=steps.kept, effect="they go on answering")

    def _name_versions(self, name: str, labels: Mapping[str, int]) -> None:
        self._models.set_labels(name, labels)
        named = self._models.labels(name)
        if self._is_news(f"labels {name}", named) and (named or labels):
            _log.info("labels", model=name, labels=named)

    def _take_labels(self, sight: Sight) -> None:
        """Read each model's labels; where they cannot be read they stay as they were."""
        for name, found in sight.places.items():
            if UNLISTED in found:
                continue
            read = sight.labels.get(name)
            if read is None:
                self._file_labels.pop(name, None)
            elif not read.invalid:
                self._file_labels[name] = read.versions
            if self._is_news(f"labels file of {name}", read.invalid if read else "") and read and read.invalid:
                _log.warning("labels_invalid", model=name, error=read.invalid, effect="the labels stay as they were")

    async def _changed_places(self, sight: Sight) -> set[Place]:
        """The versions that could not be loaded and whose files are others since."""
        failed = [
            place
            for model in self._models.entries()
            if model.state == "failed" and model.parts is None
            if (place := sight.places.get(model.name, {}).get(model.version)) is not None
        ]
        prints = await aside(lambda: _prints(failed))
        self._tried = {place: self._tried[place] for place in failed if place in self._tried}
        return {place for place in failed if prints[place] != self._tried.get(place)}

    async def _next_still(self, load: list[Place], at_once: Collection[str]) -> Place | None:
        """The first version whose files have been still for long enough; of some models that is not asked."""
        prints = await aside(lambda: _prints(load))
        now = time.monotonic()
        before = self._still
        self._still = {
            place: before[place] if place in before and before[place][0] == prints[place] else (prints[place], now)
            for place in load
        }
        fit = [
            place
            for place in load
            if not self.has_started.is_set() or place.name in at_once or now >= self._still[place][1] + SETTLED_S
        ]
        self.is_settled = len(fit) == len(load)
        return fit[0] if fit else None

    def _is_needed(self, place: Place) -> bool:
        """Whether the server was not ready without this version before, or has only just begun and has no other."""
        known = self._models.versions(place.name)
        if any(model.is_needed for model in known if model.version == place.version):
            return True
        return not self.has_started.is_set() and all(model.state != "ready" for model in known)

    def _is_news(self, about: str, what: object) -> bool:
        """Whether something is otherwise than when it was last told."""
        is_news = about not in self._told or self._told[about] != what
        self._told[about] = what
        return is_news


def _prints(places: Iterable[Place]) -> dict[Place, FilesPrint]:
    return {place: files_print(place) for place in places}
