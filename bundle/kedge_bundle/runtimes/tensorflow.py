"""SavedModel artifacts in TensorFlow."""

import contextlib
from pathlib import Path
from typing import Any, ClassVar

import tensorflow as tf

from kedge_bundle.errors import ArtifactUnloadable, DeviceUnavailable
from kedge_bundle.manifest import RuntimeOptions
from kedge_bundle.memory import give_back
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors

_SIGNATURE = "serving_default"


class TensorflowRuntime(Runtime):
    """A loaded SavedModel; safe to run from several threads.

    It runs in a session, as TensorFlow Serving runs it: `tf.saved_model.load` would copy every constant into functions
    that the process never gives back.
    """

    is_thread_safe: ClassVar[bool] = True

    def _load(self, path: Path) -> None:
        _configure(self.options.threads)
        if self.options.device == "gpu":
            _prepare_gpu(has_tf32=self.options.tf32)
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=_session_config(self.options))
        try:
            self._call = self._loaded(path)
        except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
            self._session.close()
            raise ArtifactUnloadable(
                f"TensorFlow {tf.__version__} refuses the SavedModel in {path}: {error}"
            ) from error
        give_back()
        self.device = self._device_in_use()

    def _device_in_use(self) -> str:
        """The device by the session's own account; DeviceUnavailable where the GPU was asked for and it has none."""
        if self.options.device == "cpu":
            return "cpu"
        found = [device.name for device in self._session.list_devices()]
        if not any(name.endswith("GPU:0") for name in found):
            self._session.close()
            raise DeviceUnavailable(f"the GPU was asked for, but TensorFlow's session has {', '.join(found)}")
        return "cuda:0"

    def _loaded(self, path: Path) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
        """What answers arrays in the order of the artifact's inputs with arrays in that of its outputs."""
        with self._session.graph.as_default():
            meta = tf.compat.v1.saved_model.load(self._session, [tf.saved_model.SERVING], str(path))
        signature = meta.signature_def[_SIGNATURE]
        return self._session.make_callable(
            [signature.outputs[own].name for own in self.artifact.outputs.values()],
            feed_list=[signature.inputs[own].name for own in self.artifact.inputs.values()],
        )

    def _run(self, inputs: Tensors) -> Tensors:
        answers = self._call(*(inputs[name] for name in self.artifact.inputs))
        return dict(zip(self.artifact.outputs, answers, strict=True))

    def close(self) -> None:
        """Give back the graph and its weights."""
        self._session.close()
        del self._call
        give_back()


def _session_config(options: RuntimeOptions) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=options.threads, inter_op_parallelism_threads=1)
    config.allow_soft_placement = True  # strings are looked up on the CPU
    if options.device != "gpu":
        config.device_count["GPU"] = 0
    config.gpu_options.allow_growth = True
    config.graph_options.rewrite_options.disable_meta_optimizer = options.graph_optimization == "disabled"
    return config


def _configure(threads: int) -> None:
    """Set TensorFlow's thread pools; they are the process's, so the first artifact loaded decides."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        if tf.config.threading.get_intra_op_parallelism_threads() not in (0, threads):
            raise ArtifactUnloadable(
                f"TensorFlow runs with {tf.config.threading.get_intra_op_parallelism_threads()} threads in this "
                f"process and cannot change to {threads}"
            ) from None


def _prepare_gpu(*, has_tf32: bool) -> None:
    """Let TensorFlow take a GPU's memory as it needs it, not all of it at once; and set its TensorFloat-32.

    Both are the process's.

    Raises:
        DeviceUnavailable: TensorFlow sees no GPU.
        ArtifactUnloadable: it has begun already, and has taken the memory.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        raise DeviceUnavailable(
            "the GPU was asked for, but TensorFlow sees none; install kedge[tensorflow-gpu] on a host with CUDA"
        )
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # it has begun; what counts is how
            tf.config.experimental.set_memory_growth(gpu, True)  # noqa: FBT003 (its only form)
        if not tf.config.experimental.get_memory_growth(gpu):
            raise ArtifactUnloadable(
                f"TensorFlow has taken the memory of {gpu.name} in this process and cannot give it back; "
                "memory growth has to be set before its first use"
            )
    tf.config.experimental.enable_tensor_float_32_execution(has_tf32)
