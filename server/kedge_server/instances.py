"""The runtimes of a model's instances: opened with the same options, self-tested, warmed."""

import math
import time
from collections.abc import Iterable

import numpy as np

from kedge_bundle.manifest import RuntimeOptions
from kedge_bundle.parity import ParityReport
from kedge_bundle.replay import replay
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Signature, Tensors, row_count
from kedge_bundle.store import Bundle
from kedge_server.batches import is_joinable


class SelfTestFailed(Exception):
    """A runtime does not answer the golden inputs as it was proven to."""


class Instances:
    """The runtimes of one artifact with the same options; each is self-tested before anybody gets it.

    Attributes:
        report: of the first one's self-test.

    Args:
        bundle: an opened bundle.
        first: a runtime of it, loaded. The others get its artifact and its options.

    Raises:
        SelfTestFailed: the first one does not answer as it was proven to.
    """

    def __init__(self, bundle: Bundle, first: Runtime) -> None:
        self._bundle = bundle
        self._runtimes = [first]
        self.report = self_test(bundle, first)

    @classmethod
    def open(cls, bundle: Bundle, like: Runtime, threads: int) -> "Instances":
        """Those of another number of threads.

        Raises:
            RunnerError: as `open_runtime`.
            SelfTestFailed: as above; the runtime is closed.
        """
        runtime = open_runtime(bundle, like.artifact, like.options.model_copy(update={"threads": threads}))
        try:
            return cls(bundle, runtime)
        except SelfTestFailed:
            runtime.close()
            raise

    @property
    def options(self) -> RuntimeOptions:
        """Those of every runtime here."""
        return self._runtimes[0].options

    @property
    def first(self) -> Runtime:
        """The one that is always there."""
        return self._runtimes[0]

    def some(self, count: int) -> tuple[Runtime, ...]:
        """One runtime for each of so many instances; the same one where it may be shared.

        Raises:
            RunnerError, SelfTestFailed: as `open`.
        """
        if self.first.is_thread_safe:
            return (self.first,) * count
        while len(self._runtimes) < count:
            self._runtimes.append(Instances.open(self._bundle, self.first, self.options.threads).first)
        return tuple(self._runtimes[:count])

    def close(self, but: Iterable[Runtime] = ()) -> None:
        """Close the runtimes that are not wanted any more."""
        wanted = set(but)
        for runtime in self._runtimes:
            if runtime not in wanted:
                runtime.close()


class Batches:
    """Batches of any number of rows, made of a bundle's first golden inputs.

    Attributes:
        is_joinable: whether there is more than one number of rows: jobs of this model can share a run.
        step: rows that a run takes at once; what it runs is a multiple of it.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self._golden = bundle.golden[0].inputs
        self.is_joinable = is_joinable(bundle.manifest.signature)
        batch = runtime.artifact.batch
        self.step = 1 if batch == "dynamic" else batch
        self.is_fixed = batch != "dynamic"

    def of(self, rows: int) -> Tensors:
        """The first `rows` golden rows, repeated as often as needed; all there are where no other number fits."""
        if not self.is_joinable:
            return self._golden
        chosen = np.arange(rows) % row_count(self._golden)
        return {name: array[chosen] for name, array in self._golden.items()}

    def most(self, rows: int) -> int:
        """The largest batch of at most so many rows, or the smallest there is."""
        return max(self.step, rows // self.step * self.step) if self.is_joinable else row_count(self._golden)


def self_test(bundle: Bundle, runtime: Runtime) -> ParityReport:
    """Replay the golden answers in a runtime that will serve, with the very options that will serve.

    Raises:
        SelfTestFailed: an answer is another one.
    """
    report = replay(runtime, *bundle.golden_of(runtime.artifact))
    if not report.is_proven:
        was = "Keras did" if runtime.artifact.quantized is None else "it did when it was judged"
        raise SelfTestFailed(
            f"{bundle.directory}: the self-test failed, {report.format} does not answer as {was}: "
            f"{report.first_failure()}"
        )
    return report


def warm(runtime: Runtime, batches: Batches, most: int, sizes: tuple[int, ...] = ()) -> float:
    """Run the smallest and the largest batch: the first run of a size may allocate and choose kernels.

    Args:
        runtime: a new one.
        batches: of its bundle.
        most: rows of the largest batch.
        sizes: the numbers of rows that it will be given, where they are few: each is run.

    Returns:
        Seconds of the largest batch; infinite where only golden inputs fit, and these have just run.
    """
    if not batches.is_joinable:
        return math.inf
    for rows in sizes or (batches.step,):
        runtime.run(batches.of(batches.most(rows)))
    return seconds(runtime, batches.of(batches.most(most)))


def seconds(runtime: Runtime, inputs: Tensors) -> float:
    """What one run takes."""
    started = time.perf_counter()
    runtime.run(inputs)
    return time.perf_counter() - started


def has_known_size(signature: Signature) -> bool:
    """Whether all rows are of one size, so that what a run takes depends on their number alone."""
    return all(None not in spec.shape[1:] for spec in (*signature.inputs, *signature.outputs))
