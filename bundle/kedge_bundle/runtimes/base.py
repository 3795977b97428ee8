"""What a runtime is: public `run` checks once here, a subclass fills `_run`."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from kedge_bundle.errors import DeviceLost, RunFailed
from kedge_bundle.manifest import Artifact, RuntimeOptions
from kedge_bundle.runtimes.device_errors import is_device_lost
from kedge_bundle.signature import Signature, Tensors, row_count


class Runtime(ABC):
    """One loaded artifact. Tensors go in and come out under the Keras model's names.

    Attributes:
        device: the device in use, by the runtime's own account after loading: `cpu` or `cuda:0`.
        is_thread_safe: whether several threads may be inside `run` at once.
    """

    is_thread_safe: ClassVar[bool]
    device: str

    def __init__(self, path: Path, artifact: Artifact, signature: Signature, options: RuntimeOptions) -> None:
        """Load the artifact at `path`.

        Raises:
            ArtifactUnloadable: the runtime refuses the file.
            DeviceUnavailable: the device asked for is not the one in use after loading.
        """
        self.artifact = artifact
        self.signature = signature
        self.options = options
        self._input_names = frozenset(signature.input_names)
        self._outputs = [
            (spec.name, spec.numpy_dtype, bool(spec.shape) and spec.shape[0] is None) for spec in signature.outputs
        ]
        self._load(path)

    def run(self, inputs: Tensors) -> Tensors:
        """Answer `inputs`, each of shape (rows, ...), with outputs of as many rows, in the signature's order.

        An artifact whose batch is fixed is run once for every batch of rows; the caller sees no difference.

        Raises:
            RunFailed: an input is missing or unknown, the rows do not fill the fixed batch, the runtime raised,
                or the answer is not what the signature promises.
            DeviceLost: the runtime raised, and nothing in this process can run on that device again.
        """
        if inputs.keys() != self._input_names:
            raise RunFailed(f"expected the inputs {list(self.signature.input_names)}, got {list(inputs)}")
        rows = row_count(inputs)
        batch = rows if self.artifact.batch == "dynamic" else self.artifact.batch
        if rows % batch:
            raise RunFailed(f"this {self.artifact.name} artifact runs {batch} rows at a time, got {rows}")
        if rows == batch:
            outputs = self._guarded_run(inputs)
        else:
            parts = [
                self._guarded_run({name: array[start : start + batch] for name, array in inputs.items()})
                for start in range(0, rows, batch)
            ]
            outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return self._checked(outputs, rows)

    def _guarded_run(self, inputs: Tensors) -> Tensors:
        try:
            return self._run(inputs)
        except RunFailed:
            raise
        except Exception as error:  # the runtimes raise their own types, from RuntimeError to TypeError
            message = f"{self.artifact.name}: {type(error).__name__}: {error}"
            if self.device != "cpu" and is_device_lost(str(error), inputs):
                raise DeviceLost(message, self.device) from error
            raise RunFailed(message) from error

    def _checked(self, outputs: Tensors, rows: int) -> Tensors:
        """The outputs in the signature's order, or RunFailed where they are not what it promises."""
        checked: Tensors = {}
        for name, dtype, has_rows in self._outputs:
            array = outputs.get(name)
            if array is None:
                raise RunFailed(f"the model did not answer the output '{name}'")
            if array.dtype != dtype:
                raise RunFailed(f"the output '{name}' came as {array.dtype}, the signature says {dtype}")
            if has_rows and (array.ndim == 0 or array.shape[0] != rows):
                raise RunFailed(f"the output '{name}' came with shape {array.shape} for {rows} rows")
            checked[name] = array
        return checked

    def close(self) -> None:  # noqa: B027 (optional: most runtimes are freed with the object)
        """Give back what the runtime holds."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _load(self, path: Path) -> None:
        """Load the file and set `device`."""

    @abstractmethod
    def _run(self, inputs: Tensors) -> Tensors:
        """Run once. Inputs and outputs carry Keras' names; outputs may come in any order."""
