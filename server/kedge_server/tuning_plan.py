"""What there is to choose from when a bundle is tuned: what is proven, fits, and was not decided by a setting."""

from dataclasses import dataclass

import structlog

from kedge_bundle.attestation import attestations
from kedge_bundle.errors import OptionsUnproven
from kedge_bundle.proven import proof_of
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.store import Bundle
from kedge_server.cores import usable_cores
from kedge_server.instances import Batches
from kedge_server.session import Options
from kedge_server.tuning import Arrangement, Mode, batch_sizes, instance_counts, thread_counts

_GPU_INSTANCES: dict[Mode, tuple[int, ...]] = {"quick": (1, 2), "full": (1, 2, 4)}

_log = structlog.get_logger("kedge.loading")


@dataclass(frozen=True)
class Plan:
    """What there is to choose from.

    Attributes:
        pairs: threads and instances.
        sizes: rows of a batch, ascending.
        most: rows of a batch where nothing speaks for fewer.
    """

    pairs: tuple[tuple[int, int], ...]
    sizes: tuple[int, ...]
    most: int

    @classmethod
    def of(cls, bundle: Bundle, runtime: Runtime, batches: Batches, options: Options, mode: Mode) -> "Plan":
        """That of a bundle whose first runtime is loaded."""
        own = runtime.options.threads
        pairs = [
            (threads, instances)
            for threads in _proven_threads(bundle, runtime, options)
            for instances in _instances(runtime, threads, options, mode)
            if threads == own or threads * instances <= usable_cores()
        ]
        return cls(tuple(pairs), _sizes(batches, options, mode), options.max_batch_rows)

    @property
    def is_fixed(self) -> bool:
        """Whether there is no choice."""
        return len(self.pairs) == len(self.sizes) == 1

    def allows(self, one: Arrangement) -> bool:
        """Whether this could have been chosen."""
        return (one.threads, one.instances) in self.pairs and one.max_batch_rows in (*self.sizes, self.most)

    def most_instances(self, threads: int) -> int:
        """The most instances with so many threads each."""
        return max(instances for own, instances in self.pairs if own == threads)


def _instances(runtime: Runtime, threads: int, options: Options, mode: Mode) -> tuple[int, ...]:
    if options.instances:
        return (options.instances,)
    return instance_counts(usable_cores(), threads, mode) if runtime.device == "cpu" else _GPU_INSTANCES[mode]


def _sizes(batches: Batches, options: Options, mode: Mode) -> tuple[int, ...]:
    if batches.is_fixed:
        return (batches.step,)
    most = batches.most(options.max_batch_rows)
    return (most,) if options.is_batch_given or not batches.is_joinable else batch_sizes(most, mode)


def _proven_threads(bundle: Bundle, runtime: Runtime, options: Options) -> tuple[int, ...]:
    """Threads inside a run with which this artifact may be served; on a GPU they decide nothing."""
    own = runtime.options.threads
    if options.threads or runtime.device != "cpu":
        return (own,)
    wanted = thread_counts(usable_cores(), own)
    if options.unproven_options == "warn":
        return wanted
    return tuple(threads for threads in wanted if threads == own or _is_proven(bundle, runtime, threads))


def _is_proven(bundle: Bundle, runtime: Runtime, threads: int) -> bool:
    because = _why_not_proven(bundle, runtime, threads)
    if because:
        name, version = bundle.manifest.name, bundle.manifest.version
        _log.debug("threads_left_out", model=name, version=version, threads=threads, because=because)
    return not because


def _why_not_proven(bundle: Bundle, runtime: Runtime, threads: int) -> str:
    try:
        # Most bundles have no record beside them, and looking for the whole proof takes a twentieth of a second.
        if not attestations(bundle.directory):
            return "no attestation lies beside the bundle"
        proof_of(bundle, runtime.artifact, runtime.options.model_copy(update={"threads": threads}))
    except (OptionsUnproven, OSError) as error:
        return str(error)
    return ""
