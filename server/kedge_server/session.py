"""The session that serves an artifact: on which device, with which runtime options, and what proves those."""

from dataclasses import dataclass, replace
from typing import Literal

from kedge_bundle.errors import DeviceUnavailable, OptionsUnproven
from kedge_bundle.manifest import Artifact, ArtifactName, RuntimeOptions
from kedge_bundle.proven import proof_of
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.store import Bundle
from kedge_bundle.wanted import WantedOptions
from kedge_server.settings import Settings
from kedge_server.tuner import Predecessor, Tuner

SELF_TEST_ALONE = "self-test alone"
"""What speaks for options that were never proven and are served all the same: only the golden answers at start-up."""

_HOW_TO_SERVE_ALL_THE_SAME = "; to serve without that proof: --unproven-options warn (KEDGE_UNPROVEN_OPTIONS=warn)"


@dataclass(frozen=True)
class Options:
    """How to load.

    Attributes:
        format: the name of the artifact to take; `auto` takes none that is quantized.
        device: which device to run on.
        instances: batches at once; 0 lets the device and the cores decide.
        threads: inside one run; 0 is what was proven.
        graph_optimization: what the runtime may rewrite; `auto` is what was proven.
        tf32: whether a GPU may round what it multiplies to TensorFloat-32.
        tensorrt: whether onnxruntime gives TensorRT what it takes of the graph.
        unproven_options: what to do where these make a session that neither the manifest nor an attestation proves.
        max_batch_rows: the largest batch to warm up for.
        batch_sizes: the numbers of rows that a batch may have; empty is any.
        compute_nice: how far threads that load and run stand behind others; see `precedence.py`.
        is_batch_given: whether somebody asked for just that; tuning may take a smaller one where nobody did.
        tuner: what chooses instances, threads and batch rows where they are not given; None: nothing is measured.
    """

    format: Literal["auto", ArtifactName] = "auto"
    device: Literal["auto", "cpu", "gpu"] = "auto"
    instances: int = 0
    threads: int = 0
    graph_optimization: Literal["auto", "all", "disabled"] = "auto"
    tf32: bool = False
    tensorrt: bool = False
    unproven_options: Literal["refuse", "warn"] = "refuse"
    max_batch_rows: int = 32
    batch_sizes: tuple[int, ...] = ()
    compute_nice: int = 0
    is_batch_given: bool = False
    tuner: Tuner | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Options":
        """Those among a server's settings."""
        return cls(
            format=settings.format,
            device=settings.device,
            instances=settings.instances,
            threads=settings.threads,
            graph_optimization=settings.graph_optimization,
            tf32=settings.tf32,
            tensorrt=settings.tensorrt,
            unproven_options=settings.unproven_options,
            max_batch_rows=settings.largest_batch_rows,
            batch_sizes=settings.allowed_batch_sizes,
            compute_nice=settings.compute_nice,
            is_batch_given=not {"max_batch_rows", "allowed_batch_sizes"}.isdisjoint(settings.model_fields_set),
            tuner=Tuner.of(settings),
        )

    def beside_traffic(self, predecessor: Predecessor | None = None) -> "Options":
        """How to load while others answer: nothing is measured, which would take their cores and tell little.

        Args:
            predecessor: how the version is served that the new one follows, where there is one.
        """
        if self.tuner is None:
            return self
        return replace(self, tuner=replace(self.tuner, may_measure=False, predecessor=predecessor))


@dataclass(frozen=True)
class Session:
    """The first runtime of a bundle that is being loaded.

    Attributes:
        runtime: it, loaded.
        proof: what proves its options: `manifest.json`, an attestation's file name, or `SELF_TEST_ALONE`.
        unproven: why the options that were wanted are not proven; empty where they are.
        no_gpu_because: why `auto` took the CPU.
    """

    runtime: Runtime
    proof: str
    unproven: str = ""
    no_gpu_because: str = ""


def open_session(bundle: Bundle, artifact: Artifact, options: Options) -> Session:
    """Load the first runtime, on the device that is asked for; `auto` takes a GPU that is there and proven.

    Raises:
        OptionsUnproven: neither the manifest nor an attestation of this machine proves the options.
        RuntimeMissing, ArtifactUnloadable, DeviceUnavailable: as `open_runtime`.
    """
    if options.device != "auto":
        return _open(bundle, artifact, options, options.device)
    try:
        return _open(bundle, artifact, options, "gpu")
    except DeviceUnavailable as error:
        return replace(_open(bundle, artifact, options, "cpu"), no_gpu_because=str(error))
    except OptionsUnproven as error:
        # Nobody asked for the GPU: the CPU that was proven is the better answer than none.
        return replace(_open(bundle, artifact, options, "cpu"), no_gpu_because=str(error), unproven=str(error))


def _open(bundle: Bundle, artifact: Artifact, options: Options, device: Literal["cpu", "gpu"]) -> Session:
    wanted = _runtime_options(artifact, options, device)
    runtime = open_runtime(bundle, artifact, wanted)  # first of all: a GPU that is not in use is the graver fault
    try:
        proof, unproven = proof_for(bundle, artifact, wanted, options.unproven_options)
    except OptionsUnproven:
        runtime.close()
        raise
    return Session(runtime, proof, unproven)


def proof_for(
    bundle: Bundle, artifact: Artifact, wanted: RuntimeOptions, unproven_options: Literal["refuse", "warn"]
) -> tuple[str, str]:
    """What proves these options, and why they are not proven where they may be served all the same.

    Raises:
        OptionsUnproven: nothing proves them, and they must not be served.
    """
    try:
        return proof_of(bundle, artifact, wanted), ""
    except OptionsUnproven as error:
        if unproven_options == "warn":
            return SELF_TEST_ALONE, str(error)
        raise OptionsUnproven(f"{error}{_HOW_TO_SERVE_ALL_THE_SAME}") from error


def _runtime_options(artifact: Artifact, options: Options, device: Literal["cpu", "gpu"]) -> RuntimeOptions:
    """The options that were proven, but for what the user asked for; the self-test speaks about exactly these."""
    optimization = None if options.graph_optimization == "auto" else options.graph_optimization
    return WantedOptions(device, options.threads or None, optimization, options.tf32, options.tensorrt).of(artifact)
