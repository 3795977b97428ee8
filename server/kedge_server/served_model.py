"""One version of one model: its state, and what it has while it can answer. No wire type here."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from kedge_bundle.manifest import Artifact, Manifest
from kedge_bundle.signature import Signature
from kedge_bundle.store import Bundle
from kedge_server.core_shares import CoreShares
from kedge_server.errors import NotReady
from kedge_server.job_queue import QueueLimits
from kedge_server.loading import Prepared
from kedge_server.scheduler import Run, Scheduler
from kedge_server.tuning import Arrangement
from kedge_server.validation import Contract

State = Literal["loading", "ready", "failed", "unloading"]


@dataclass(frozen=True)
class Loaded:
    """What a model version has once it is loaded, self-tested and warmed; `arrangement`: how it is served."""

    bundle: Bundle
    artifact: Artifact
    device: str
    arrangement: Arrangement
    contract: Contract
    scheduler: Scheduler

    @classmethod
    def start(  # noqa: PLR0913 (how it is served, by name)
        cls,
        name: str,
        prepared: Prepared,
        limits: QueueLimits,
        on_run: Callable[[Run], None],
        *,
        nice: int = 0,
        cores: CoreShares | None = None,
    ) -> "Loaded":
        """Start the instances of a prepared bundle, on the event loop's thread.

        Args:
            name: `model/version`.
            prepared: what the instances run.
            limits: of the queue.
            on_run: is told of every run.
            nice: how far instances stand behind other threads, where they compute: a GPU's only wait for it.
            cores: those that models share, where they compute.
        """
        manifest, arrangement = prepared.bundle.manifest, prepared.arrangement
        limits = replace(limits, max_batch_rows=min(limits.max_batch_rows, arrangement.max_batch_rows))
        return cls(
            bundle=prepared.bundle,
            artifact=prepared.artifact,
            device=prepared.device,
            arrangement=arrangement,
            contract=Contract(
                manifest.signature,
                manifest.input_stats,
                prepared.artifact.batch,
                # onnxruntime's strings are text: bytes that are none would fail in the run, as if it were our fault.
                "utf-8" if prepared.artifact.format == "onnx" else "bytes",
            ),
            scheduler=Scheduler(
                name,
                prepared.runtimes,
                limits,
                on_run,
                is_quick=arrangement.is_quick,
                nice=nice if prepared.device == "cpu" else 0,
                share=cores.share(arrangement.threads) if cores and prepared.device == "cpu" else None,
            ),
        )


@dataclass(eq=False)
class ServedModel:
    """One version of one model, from the moment it was found on disk.

    Attributes:
        name: the model's name in the repository.
        version: its version.
        directory: the bundle.
        state: `ready` means loaded, self-tested against its golden answers, and warmed.
        reason: why it is not ready; empty when it is.
        is_needed: whether the server is not ready without it: it was there at the start, or has been ready since.
        in_flight: requests that have found it and have no answer yet.
        parts: what it has once it is loaded; None again once it is unloaded.
    """

    name: str
    version: int
    directory: Path
    state: State = "loading"
    reason: str = "loading"
    is_needed: bool = True
    in_flight: int = 0
    parts: Loaded | None = field(default=None, repr=False)

    @property
    def loaded(self) -> Loaded:
        """Everything that serving needs.

        Raises:
            NotReady: still loading, failed to load, or unloaded.
        """
        parts = self.parts
        if parts is None:
            raise NotReady(f"model '{self.name}' version {self.version} is not ready: {self.state}")
        return parts

    @property
    def bundle(self) -> Bundle | None:
        """The opened bundle; None while loading and after a failure."""
        parts = self.parts  # read once: another thread may ask while it is unloaded
        return parts.bundle if parts else None

    @property
    def artifact(self) -> Artifact | None:
        """The artifact in use; None while loading and after a failure."""
        parts = self.parts  # read once: another thread may ask while it is unloaded
        return parts.artifact if parts else None

    @property
    def device(self) -> str:
        """The device in use, by the runtime's own account: `cpu`, `cuda:0`; empty while loading and after a failure."""
        parts = self.parts
        return parts.device if parts else ""

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest.

        Raises:
            NotReady: as `loaded`.
        """
        return self.loaded.bundle.manifest

    @property
    def signature(self) -> Signature:
        """The names, dtypes and shapes that callers use.

        Raises:
            NotReady: as `loaded`.
        """
        return self.manifest.signature
