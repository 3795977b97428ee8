from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kedge_bundle.signature import Signature, Tensors, TensorSpec
from kedge_server.batches import is_joinable, run_joined, split
from kedge_server.job_queue import JobQueue, QueueLimits
from kedge_server.jobs import Job


class Same:
    """Answers what it is asked."""

    def __init__(self) -> None:
        self.asked: list[NDArray[Any]] = []

    def run(self, inputs: Tensors) -> Tensors:
        self.asked.append(inputs["x"])
        return {"y": inputs["x"]}


def together(*arrays: NDArray[Any], sizes: tuple[int, ...] = ()) -> tuple[list[NDArray[Any]], Same]:
    """What each of the arrays comes back as when they share a run, and what was run."""
    jobs: list[Job[Any]] = [Job({"x": array}, len(array), lambda outputs: outputs) for array in arrays]
    model = Same()
    answers = run_joined(model, jobs, sum(job.rows for job in jobs), sizes)  # type: ignore[arg-type]  # is enough of one
    return [answer["y"] for answer in answers], model


ROWS = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


@pytest.mark.parametrize(
    "arrays",
    [
        (ROWS[:1], ROWS[1:]),
        (ROWS[::2], ROWS[1:2]),
        (ROWS.swapaxes(1, 2), ROWS.swapaxes(1, 2)),
        (ROWS.astype(np.float16), ROWS[:1].astype(np.float16)),
        (ROWS > 3, ROWS[:2] > 4),
        (ROWS[:, :, :0], ROWS[:1, :, :0]),
        (np.array([[b"a", b"\0"]], object), np.array([[b"", b"longer"]], object)),
    ],
    ids=["whole", "every other row", "other order", "float16", "bool", "nothing in a row", "strings"],
)
@pytest.mark.parametrize("sizes", [(), (8,)], ids=["as they are", "filled up"])
def test_rows_that_share_a_run_come_back_to_their_senders(arrays: tuple[NDArray[Any], ...], sizes: tuple[int, ...]):
    answers, model = together(*arrays, sizes=sizes)
    for sent, back in zip(arrays, answers, strict=True):
        assert (back.dtype, back.shape) == (sent.dtype, sent.shape)
        np.testing.assert_array_equal(back, sent)
    (asked,) = model.asked
    assert len(asked) == (sizes[0] if sizes else sum(map(len, arrays)))
    assert asked.flags.c_contiguous  # else the runtime would copy it once more


def test_a_batch_that_is_filled_up_repeats_its_last_row():
    _, model = together(ROWS[:1], ROWS[2:3], sizes=(4,))
    np.testing.assert_array_equal(model.asked[0], ROWS[[0, 2, 2, 2]])


def test_joinable_means_a_free_batch_axis_everywhere():
    def signature(*shapes: tuple[int | None, ...]) -> Signature:
        specs = [TensorSpec(name=f"t{i}", dtype="float32", shape=shape) for i, shape in enumerate(shapes)]
        return Signature(inputs=tuple(specs[:-1]), outputs=(specs[-1],))

    assert is_joinable(signature((None, 3), (None,)))
    assert not is_joinable(signature((None, 3), (3,)))
    assert not is_joinable(signature((None, 3), (), (None, 1)))
    assert not is_joinable(signature((2, 3), (None, 1)))


def test_what_strings_hold_counts_for_what_may_wait():
    job: Job[Any] = Job({"x": np.array([[b"a" * 100]] * 4, object)}, 4, lambda outputs: outputs, text_bytes=400)
    waiting = JobQueue(QueueLimits(queue_rows=8, max_batch_rows=2, queue_bytes=500))
    parts = split(job, 2)
    assert [part.text_bytes for part in parts] == [200, 200]
    assert waiting.put(*parts)
    assert waiting.nbytes == 432
    assert not waiting.put(Job(job.inputs, 1, job.complete, text_bytes=100))
