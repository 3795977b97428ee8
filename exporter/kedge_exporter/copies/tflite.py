"""Altered copies of TFLite files, edited where they stand: a flatbuffer is written again only as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema  # noqa: TID253 (the module of this format)
from numpy.typing import NDArray

from kedge_bundle.manifest import Artifact
from kedge_exporter.copies import NoWeight, Weight
from kedge_exporter.copies.flow import Constant, Flow, Step, head_behind, makers, weights
from kedge_exporter.copies.scaling import scaled

_DTYPES = {
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT64: "float64",
}
_OP_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
_BODIES = ("condSubgraphIndex", "bodySubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex")
_TENSOR_INDEX = 6
"""The slot of a TensorMap that holds its tensor's index; never absent as a zero would be: tensor 0 is an input."""


def changed_weight(directory: Path, artifact: Artifact, into: Path, factor: float) -> Weight:
    """Write the file with another buffer. See `copies.changed_weight`."""
    file = _File(directory / artifact.path)
    flow = file.flow(tuple(artifact.outputs.values()))
    for name in weights(flow):
        values = file.buffer(name).view(flow.constants[name].dtype)
        changed = scaled(values, factor)
        if changed is None:
            continue
        values[:] = changed
        (into / artifact.path).write_bytes(file.data)
        return Weight(file.text(name), flow.constants[name].shape)
    raise NoWeight(f"'{artifact.path}' has no weight of its own that one part in a thousand changes")


def without_heads(directory: Path, artifact: Artifact, into: Path, outputs: tuple[str, ...]) -> dict[str, str]:
    """Write the file with outputs that are read before their heads. See `copies.without_heads`.

    The heads stay where they are; what they answer is nobody's any more.
    """
    file = _File(directory / artifact.path)
    made_by = makers([step for step in file.steps if step.index >= 0])
    logits = {}
    for output in outputs:
        own = artifact.outputs[output]
        answer = file.answers[own]
        path = head_behind(file.name(answer.tensor), made_by)
        if path is None or not file.is_float(answer.tensor):
            continue
        head, behind = path[0], path[1:]
        if not behind:
            answer.move(file, file.index(head.reads[0]))
        elif not any(file.is_shared(step.makes[0]) for step in behind):
            file.graph.operators[behind[0].index].inputs[0] = file.index(head.reads[0])
        else:  # what hands the probabilities on is read by others as well
            continue
        logits[output] = own
    if logits:
        (into / artifact.path).write_bytes(file.data)
    return logits


class _File:
    """A TFLite file in memory of its own: what is written into it reaches only the pages that change.

    The arrays of `graph` and of buffers are views of the file's bytes, which makes writing into them an edit.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self.data = mmap(file.fileno(), 0, access=ACCESS_COPY)
        self._model = schema.ModelT.InitFromPackedBuf(self.data, 0)
        signature = schema.Model.GetRootAs(self.data, 0).SignatureDefs(0)
        self._main = int(signature.SubgraphIndex())
        self.graph = self._model.subgraphs[self._main]
        maps = [signature.Outputs(number) for number in range(signature.OutputsLength())]
        self.answers = {entry.Name().decode(): _Answer(entry) for entry in maps}

    @cached_property
    def steps(self) -> list[Step]:
        """The operators, those of loops and branches without an index; tensors are called `graph:number`."""
        return list(self._steps(self._main))

    def flow(self, outputs: tuple[str, ...]) -> Flow:
        """What flows to the outputs."""
        constants = {}
        for number, graph in enumerate(self._model.subgraphs):
            for index, tensor in enumerate(graph.tensors):
                data = self._model.buffers[tensor.buffer].data
                if tensor.type in _DTYPES and data is not None and len(data):
                    shape = () if tensor.shape is None else tuple(map(int, tensor.shape))
                    constants[f"{number}:{index}"] = Constant(_DTYPES[tensor.type], shape)
        return Flow(self.steps, constants, [self.name(self.answers[own].tensor) for own in outputs])

    def buffer(self, name: str) -> NDArray[np.uint8]:
        """The bytes of a constant; other tensors may have the same."""
        data: NDArray[np.uint8] = self._model.buffers[self._tensor(name).buffer].data
        return data

    def text(self, name: str) -> str:
        """What the file calls a tensor."""
        return str(self._tensor(name).name.decode())

    def name(self, index: int) -> str:
        """A tensor of the main graph."""
        return f"{self._main}:{index}"

    def index(self, name: str) -> int:
        """The number of a tensor in its graph."""
        return int(name.partition(":")[2])

    def is_float(self, index: int) -> bool:
        """Whether a tensor of the main graph holds floats."""
        return self.graph.tensors[index].type in _DTYPES

    def is_shared(self, name: str) -> bool:
        """Whether a tensor of the main graph is read more than once, the graph's answers included."""
        index = self.index(name)
        lists = (self.graph.outputs, *(operator.inputs for operator in self.graph.operators))
        return sum(int((numbers == index).sum()) for numbers in lists if numbers is not None) > 1

    def _tensor(self, name: str) -> Any:  # noqa: ANN401 (the schema's module ships no types)
        number, _, index = name.partition(":")
        return self._model.subgraphs[int(number)].tensors[int(index)]

    def _steps(self, number: int) -> Iterator[Step]:
        for position, operator in enumerate(self._model.subgraphs[number].operators):
            inputs, outputs = (_names(number, side) for side in (operator.inputs, operator.outputs))
            reads = inputs
            for body in _bodies(operator.builtinOptions):
                graph = self._model.subgraphs[body]
                yield from self._steps(body)
                arguments = _names(body, graph.inputs)
                given = inputs[len(inputs) - len(arguments) :]
                yield from (Step("Identity", (one,), (same,)) for one, same in zip(given, arguments, strict=True))
                reads += _names(body, graph.outputs)
            yield Step(self._op(operator), reads, outputs, position if number == self._main else -1)

    def _op(self, operator: Any) -> str:  # noqa: ANN401
        code = self._model.operatorCodes[operator.opcodeIndex]
        return str(_OP_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)])


@dataclass
class _Answer:
    """An output of the signature: its entry in the file."""

    entry: Any

    @property
    def tensor(self) -> int:
        """The number of the tensor that is answered."""
        return int(self.entry.TensorIndex())

    def move(self, file: _File, tensor: int) -> None:
        """Answer another tensor of the main graph."""
        answered = np.flatnonzero(file.graph.outputs == self.tensor)[0]
        file.graph.outputs[answered] = tensor
        table = self.entry._tab  # noqa: SLF001 (the generated module can only read scalars)
        at = table.Pos + table.Offset(_TENSOR_INDEX)
        file.data[at : at + 4] = tensor.to_bytes(4, "little")


def _names(number: int, indices: Any) -> tuple[str, ...]:  # noqa: ANN401
    return () if indices is None else tuple(f"{number}:{index}" for index in indices)


def _bodies(options: Any) -> list[int]:  # noqa: ANN401
    """The graphs that an operator runs, by number."""
    found = (getattr(options, name, None) for name in _BODIES)
    return [int(number) for number in found if number is not None]
