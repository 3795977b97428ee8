"""SavedModel artifacts in TensorFlow."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow as tf

from kedge_bundle.errors import ArtifactUnloadable, DeviceUnavailable
from kedge_bundle.memory import give_back
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors

_SIGNATURE = "serving_default"


class TensorflowRuntime(Runtime):
    """A loaded SavedModel; safe to run from several threads."""

    is_thread_safe: ClassVar[bool] = True

    def _load(self, path: Path) -> None:
        wants_gpu = self.options.device == "gpu"
        _configure(self.options.threads)
        gpus = tf.config.list_logical_devices("GPU") if wants_gpu else []
        if wants_gpu and not gpus:
            raise DeviceUnavailable(
                "the GPU was asked for, but TensorFlow sees none; install kedge[tensorflow-gpu] on a host with CUDA"
            )
        self._tf_device = "/GPU:0" if wants_gpu else "/CPU:0"
        try:
            with tf.device(self._tf_device):
                self._model = tf.saved_model.load(str(path))
                self._call = self._model.signatures[_SIGNATURE]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            raise ArtifactUnloadable(
                f"TensorFlow {tf.__version__} refuses the SavedModel in {path}: {error}"
            ) from error
        give_back()
        self.device = "cuda:0" if wants_gpu else "cpu"

    def _run(self, inputs: Tensors) -> Tensors:
        with tf.device(self._tf_device):
            feeds = {self.artifact.inputs[name]: tf.constant(array) for name, array in inputs.items()}
            answers = self._call(**feeds)
        return {name: np.asarray(answers[own].numpy()) for name, own in self.artifact.outputs.items()}


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
