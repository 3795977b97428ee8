"""Cases of few rows, answered together: calling a layer eagerly takes longer than computing a few rows in it."""

from collections.abc import Callable

import numpy as np

from kedge_bundle.cases import Case
from kedge_bundle.signature import Tensors, row_count

_ROWS_AT_ONCE = 16
"""More rows of images make tensors of tens of megabytes, whose memory the C library fetches anew for every layer."""


def answer_together(answer: Callable[[Tensors], Tensors], cases: list[Case]) -> dict[str, Tensors]:
    """The answers by case, of a model whose rows do not matter to each other.

    Args:
        answer: asks the model.
        cases: each input (rows, ...); the rows of those of the same sizes are asked one lot after another.
    """
    by_sizes: dict[tuple[tuple[int, ...], ...], list[Case]] = {}
    for case in cases:
        by_sizes.setdefault(tuple(array.shape[1:] for array in case.inputs.values()), []).append(case)
    found: dict[str, Tensors] = {}
    for alike in by_sizes.values():
        joined = {name: np.concatenate([case.inputs[name] for case in alike]) for name in alike[0].inputs}
        starts = range(0, row_count(joined), _ROWS_AT_ONCE)
        lots = [answer({n: array[start : start + _ROWS_AT_ONCE] for n, array in joined.items()}) for start in starts]
        answers = {name: np.concatenate([lot[name] for lot in lots]) for name in lots[0]}
        ends = np.cumsum([row_count(case.inputs) for case in alike])
        for case, end in zip(alike, ends, strict=True):
            found[case.name] = {name: array[end - row_count(case.inputs) : end] for name, array in answers.items()}
    return found
