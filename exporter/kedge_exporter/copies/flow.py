"""What flows where in a graph, whatever its format: which weight matters most, and which head an output ends in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

KERNELS = frozenset({
    # ONNX, TensorFlow, TFLite
    "Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN",
    "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Conv2D", "Conv2DBackpropInput", "Conv3D",
    "Conv3DBackpropInputV2", "DepthwiseConv2dNative",
    "BATCH_MATMUL", "CONV_2D", "CONV_3D", "CONV_3D_TRANSPOSE", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
})  # fmt: skip
"""Ops that sum products with a weight."""

_ARITHMETIC = frozenset({
    "Add", "BatchNormalization", "Div", "Gather", "InstanceNormalization", "LayerNormalization", "Mul", "Neg", "PRelu",
    "Pow", "Sub", "Where",
    "AddV2", "BiasAdd", "FusedBatchNormV3", "GatherV2", "RealDiv", "ResourceGather", "SelectV2", "SquaredDifference",
    "ADD", "DIV", "EMBEDDING_LOOKUP", "GATHER", "MUL", "NEG", "POW", "PRELU", "SELECT_V2", "SQUARED_DIFFERENCE", "SUB",
})  # fmt: skip
"""Ops that compute with constants of the model, or look rows of them up."""

_PASSING = frozenset({
    "Cast", "ExpandDims", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze",
    "CAST", "EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE",
})  # fmt: skip
"""Ops that hand on the values of their first input, every value at another place or in another dtype."""

_CUTTING = frozenset({"SLICE", "STRIDED_SLICE", "Slice", "StridedSlice"})
"""Ops that hand on some of the values of their first input."""

_HEADS = frozenset({"Sigmoid", "Softmax", "LOGISTIC", "SOFTMAX"})
_FLOATS = frozenset({"float16", "float32", "float64"})
"""One part in a thousand is less than the last place of a bfloat16."""


@dataclass(frozen=True)
class Step:
    """One call of an op.

    Attributes:
        op: what the format calls the op; `Identity` for what only crosses the border of a function.
        reads: the tensors that it reads.
        makes: the tensors that it makes.
        index: which node of its graph it is; -1 for none.
    """

    op: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    index: int = -1


@dataclass(frozen=True)
class Constant:
    """A tensor that the file holds: its dtype in numpy's words, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many values it has."""
        return prod(self.shape)


@dataclass
class Flow:
    """A graph with the functions, loops and branches that it calls, all on one level; names are unique in it.

    Attributes:
        steps: in any order.
        constants: by name; integers and strings are left out by whoever asks.
        outputs: the tensors that the model answers with.
    """

    steps: list[Step] = field(default_factory=list)
    constants: dict[str, Constant] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)


def makers(steps: list[Step]) -> dict[str, Step]:
    """The step that makes each tensor."""
    return {name: step for step in steps for name in step.makes}


def weights(flow: Flow) -> Iterator[str]:
    """The names of the float constants that may be changed, those that matter most first.

    Kernels before all outputs, of the first output, of any; the last in the order of computing first. Then what other
    arithmetic reads, the largest first. A name may come twice.
    """
    made_by = makers(flow.steps)
    steps = _in_order(flow, made_by)
    reached = _outputs_reached(steps, flow.outputs)
    all_outputs = (1 << len(flow.outputs)) - 1
    wanted = (all_outputs, 1, 0)
    for mask in wanted:
        for step in reversed(steps):
            if step.op in KERNELS and reached[step] & mask == mask:
                yield from _largest(flow, made_by, step, least_rank=2)[:1]
    for mask in wanted:
        chosen = [step for step in steps if step.op in _ARITHMETIC and reached[step] & mask == mask]
        found = {name for step in chosen for name in _largest(flow, made_by, step, least_rank=1)}
        at_least_two = (name for name in found if flow.constants[name].elements > 1)
        yield from sorted(at_least_two, key=lambda name: (-flow.constants[name].elements, name))


def head_behind(output: str, made_by: Mapping[str, Step]) -> list[Step] | None:
    """The softmax or sigmoid whose values an output hands on, and the steps behind it, in their order; or None."""
    path: list[Step] = []
    tensor = output
    while (step := made_by.get(tensor)) is not None:
        path.insert(0, step)
        if step.op in _HEADS:
            return path
        if step.op not in _PASSING:
            return None
        tensor = step.reads[0]
    return None


def _largest(flow: Flow, made_by: Mapping[str, Step], step: Step, *, least_rank: int) -> list[str]:
    """The float constants that a step reads, whole or in part, through casts and the like; the largest first."""
    behind = [_constant_behind(name, flow, made_by) for name in step.reads]
    found = [
        name
        for name in dict.fromkeys(behind)
        if name is not None
        and flow.constants[name].dtype in _FLOATS
        and len(flow.constants[name].shape) >= least_rank
        and flow.constants[name].elements
    ]
    return sorted(found, key=lambda name: -flow.constants[name].elements)


def _constant_behind(name: str, flow: Flow, made_by: Mapping[str, Step]) -> str | None:
    while name not in flow.constants:
        step = made_by.get(name)
        if step is None or step.op not in _PASSING | _CUTTING:
            return None
        name = step.reads[0]
    return name


def _in_order(flow: Flow, made_by: Mapping[str, Step]) -> list[Step]:
    """The steps that lead to the outputs, each behind those whose tensors it reads."""
    order: dict[Step, None] = {}
    entered: set[Step] = set()
    waiting = [made_by[name] for name in reversed(flow.outputs) if name in made_by]
    while waiting:
        step = waiting[-1]
        if step in entered:
            order.setdefault(waiting.pop())
            continue
        entered.add(step)
        before = (made_by[name] for name in reversed(step.reads) if name in made_by)
        waiting.extend(earlier for earlier in before if earlier not in entered)
    return list(order)


def _outputs_reached(steps: list[Step], outputs: list[str]) -> dict[Step, int]:
    """Which outputs each step leads to, as bits: the first output is 1, the second 2."""
    of_tensor: dict[str, int] = {}
    for position, name in enumerate(outputs):
        of_tensor[name] = of_tensor.get(name, 0) | 1 << position
    reached: dict[Step, int] = {}
    for step in reversed(steps):
        reached[step] = 0
        for name in step.makes:
            reached[step] |= of_tensor.get(name, 0)
        for name in step.reads:
            of_tensor[name] = of_tensor.get(name, 0) | reached[step]
    return reached
