import asyncio
import threading
import time
from typing import Any, get_args

import numpy as np
import pytest

from kedge_bundle.signature import Violation
from kedge_bundle.store import Bundle
from kedge_server.errors import (
    DeadlinePassed,
    InvalidInput,
    ModelFailed,
    ModelNotFound,
    NotReady,
    QueueFull,
    ServingError,
)
from kedge_server.job_queue import QueueLimits
from kedge_server.pipeline import Answer, Call, Protocol
from kedge_server.series import PROTOCOLS
from kedge_server.validation import Policy
from tests.server.in_process import Serving, lookup, serving
from tests.services.bundles import identity, publish, slow_matmul, square_root, two_output

PHASES = ("decode", "validate", "queue", "run", "encode")

Bundles = dict[str, Bundle]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    repository = tmp_path_factory.mktemp("models")
    made = {
        "identity": identity(),
        "two": two_output(),
        "root": square_root(),
        "slow": slow_matmul(),
        "lookup": lookup(),
        "strings": identity("string"),
    }
    return {name: publish(model, repository, name) for name, model in made.items()}


def play(bundle: Bundle, story: Any, **options: Any) -> Any:  # noqa: ANN401
    async def told() -> Any:  # noqa: ANN401
        async with serving(bundle, **options) as served:
            result = await story(served)
            assert served.sample("kedge_inflight_requests") == 0
            started = served.sample("kedge_requests_started_total", {"protocol": "open-inference"})
            ended = sum(
                sample.value
                for family in served.metrics.collect()
                for sample in family.samples
                if sample.name == "kedge_requests_total"
            )
            assert started == ended  # nothing is lost, whatever became of it
            return result

    return asyncio.run(told())


def phase_counts(served: Serving) -> list[float]:
    labels = {"model": served.model.name, "version": "1"}
    return [served.sample("kedge_phase_duration_seconds_count", labels | {"phase": phase}) for phase in PHASES]


def test_the_protocols_of_the_pipeline_are_those_of_the_metrics():
    assert get_args(Protocol) == PROTOCOLS


def test_outputs_come_back_in_the_signatures_order_by_their_names(bundles: Bundles):
    inputs = {"b": np.ones((2, 3), np.float32), "a": np.full((2, 3), 5, np.float32)}
    answer = play(bundles["two"], lambda served: served.ask(inputs))
    assert (answer.model, answer.version, list(answer.outputs)) == ("two", 1, ["total", "difference"])
    np.testing.assert_array_equal(answer.outputs["total"], np.full((2, 3), 12, np.float32))
    np.testing.assert_array_equal(answer.outputs["difference"], np.full((2, 3), 4, np.float32))


def test_only_the_outputs_that_were_asked_for_come_back(bundles: Bundles):
    inputs = {name: np.ones((1, 3), np.float32) for name in "ab"}
    answer = play(bundles["two"], lambda served: served.ask(inputs, outputs=("difference",)))
    assert list(answer.outputs) == ["difference"]


def test_an_answered_request_is_in_every_metric(bundles: Bundles):
    async def story(served: Serving) -> None:
        await served.ask({"x": np.full((3, 2), 9, np.float32)})
        labels = {"model": "root", "version": "1"}
        assert served.counted("OK") == 1
        assert phase_counts(served) == [1] * 5
        assert served.sample("kedge_batch_rows_sum", labels) == 3
        assert served.sample("kedge_input_values_total", labels | {"input": "x"}) == 6
        assert served.sample("kedge_output_values_total", labels | {"output": "y"}) == 6
        statistics = served.metrics.statistics("root", 1)
        assert (statistics.inference_count, statistics.execution_count, statistics.success.count) == (3, 1, 1)
        parts = (statistics.queue, statistics.compute_input, statistics.compute_infer, statistics.compute_output)
        assert all(part.count == 1 for part in parts)
        assert statistics.compute_infer.ns > 0
        assert sum(part.ns for part in parts) <= statistics.success.ns
        assert abs(statistics.last_inference_ms / 1000 - time.time()) < 60

    play(bundles["root"], story)


async def refused(served: Serving, error: type[ServingError], x: Any = 1.0, **call: Any) -> ServingError:  # noqa: ANN401
    with pytest.raises(error) as caught:
        await served.ask({"x": np.full((1, 4), x, np.float32)}, **call)
    return caught.value


@pytest.mark.parametrize(
    ("error", "call", "sentence"),
    [
        (ModelNotFound, {"model": "idendity"}, "model 'idendity' is not here; there are identity"),
        (ModelNotFound, {"version": 7}, "model 'identity' has no version 7; it has 1"),
        (ModelNotFound, {"label": "stable"}, "model 'identity' has no label 'stable'"),
        (ModelNotFound, {"model": "../../etc/passwd\n\0" + "x" * 999}, "passwd??xxx"),
    ],
)
def test_what_is_not_here_is_not_found_and_makes_no_label(
    bundles: Bundles, error: type[ServingError], call: dict[str, Any], sentence: str
):
    async def story(served: Serving) -> None:
        caught = await refused(served, error, **call)
        assert sentence in str(caught)
        assert len(str(caught)) < 300
        nowhere = {"model": "", "version": "", "protocol": "open-inference", "code": "NOT_FOUND"}
        assert served.sample("kedge_requests_total", nowhere) == 1
        page = served.metrics.page("")[0].decode()
        assert "idendity" not in page
        assert "passwd" not in page

    play(bundles["identity"], story)


def test_a_refused_request_is_counted_with_its_code_reason_and_duration(bundles: Bundles):
    async def story(served: Serving) -> None:
        await refused(served, InvalidInput, x=np.nan)
        await refused(served, InvalidInput, violations=(Violation("x", "twice"),))
        labels = {"model": "identity", "version": "1"}
        assert served.counted("INVALID_ARGUMENT") == 2
        assert served.sample("kedge_rejections_total", labels | {"reason": "invalid_input"}) == 2
        durations = labels | {"protocol": "open-inference"}
        assert served.sample("kedge_request_duration_seconds_count", durations) == 2
        assert phase_counts(served) == [2, 2, 0, 0, 0]
        assert served.sample("kedge_input_nonfinite_values_total", labels | {"input": "x"}) == 4

    play(bundles["identity"], story)


def test_a_request_that_cannot_be_decoded_belongs_to_no_model(bundles: Bundles):
    async def story(served: Serving) -> None:
        def decode() -> Call:
            raise InvalidInput([Violation("request", "is no message")])

        with pytest.raises(InvalidInput):
            await served.pipeline.predict("open-inference", decode, lambda answer: answer)
        labels = {"model": "", "version": "", "protocol": "open-inference", "code": "INVALID_ARGUMENT"}
        assert served.sample("kedge_requests_total", labels) == 1

    play(bundles["identity"], story)


@pytest.mark.parametrize("request_bytes", [100, 2 << 20])
def test_large_requests_are_decoded_off_the_event_loop(bundles: Bundles, request_bytes: int):
    async def story(served: Serving) -> None:
        threads: list[threading.Thread] = []

        def decode() -> Call:
            threads.append(threading.current_thread())
            return Call("identity", {"x": np.zeros((1, 4), np.float32)})

        await served.pipeline.predict("open-inference", decode, lambda answer: answer, request_bytes)
        assert (threads == [threading.current_thread()]) == (request_bytes == 100)

    play(bundles["identity"], story)


def test_a_fault_of_ours_is_counted_as_such_and_raised_as_it_is(bundles: Bundles):
    async def story(served: Serving) -> None:
        def encode(_: Answer) -> None:
            raise ZeroDivisionError

        def decode() -> Call:
            return Call("identity", {"x": np.zeros((1, 4), np.float32)})

        with pytest.raises(ZeroDivisionError):
            await served.pipeline.predict("open-inference", decode, encode)
        assert served.counted("INTERNAL") == 1
        assert (await served.ask({"x": np.zeros((1, 4), np.float32)})).outputs["y"].shape == (1, 4)

    play(bundles["identity"], story)


def test_a_model_that_fails_gives_an_incident(bundles: Bundles):
    async def story(served: Serving) -> None:
        with pytest.raises(ModelFailed, match=r"incident [0-9a-f]{12}"):
            await served.ask({"x": np.array([[99]])})
        assert served.counted("INTERNAL") == 1
        labels = {"model": "lookup", "version": "1", "reason": "model_failed"}
        assert served.sample("kedge_rejections_total", labels) == 1

    play(bundles["lookup"], story)


def test_nan_in_the_output_is_observed_by_default(bundles: Bundles):
    async def story(served: Serving) -> None:
        answer = await served.ask({"x": np.array([[-4, 9], [4, 9]], np.float32)})
        assert np.isnan(answer.outputs["y"]).sum() == 1
        labels = {"model": "root", "version": "1"}
        output = labels | {"output": "y"}
        assert served.sample("kedge_output_nonfinite_values_total", output | {"kind": "nan"}) == 1
        assert served.sample("kedge_output_nonfinite_values_total", output | {"kind": "inf"}) == 0
        assert served.sample("kedge_nan_responses_total", labels) == 1
        assert served.counted("OK") == 1

    play(bundles["root"], story)


def test_nan_in_the_output_is_an_error_where_the_policy_rejects(bundles: Bundles):
    async def story(served: Serving) -> None:
        with pytest.raises(ModelFailed, match=r"not finite \(incident"):
            await served.ask({"x": np.array([[-4, 9]], np.float32)})
        labels = {"model": "root", "version": "1", "output": "y", "kind": "nan"}
        assert served.sample("kedge_output_nonfinite_values_total", labels) == 1
        assert served.counted("INTERNAL") == 1

    play(bundles["root"], story, policy=Policy(nonfinite_outputs="reject"))


def test_inputs_unlike_training_come_back_with_the_answer_and_are_counted(bundles: Bundles):
    async def story(served: Serving) -> None:
        answer = await served.ask({"x": np.array([[10, 900]], np.float32)})
        assert {(v.input, v.feature, v.kind) for v in answer.stat_violations} == {
            ("x", 1, "above-range"),
            ("x", 1, "z-score"),
        }
        labels = {"model": "root", "version": "1", "input": "x"}
        assert served.sample("kedge_input_stat_violations_total", labels | {"kind": "above-range"}) == 1
        assert served.sample("kedge_input_stat_violations_total", labels | {"kind": "below-range"}) == 0

    play(bundles["root"], story)


def test_inputs_unlike_training_are_refused_where_the_policy_rejects_and_counted_too(bundles: Bundles):
    async def story(served: Serving) -> None:
        with pytest.raises(InvalidInput, match=r"feature 1: 900 \(above-range\); training saw 4 to 16"):
            await served.ask({"x": np.array([[10, 900]], np.float32)})
        labels = {"model": "root", "version": "1", "input": "x", "kind": "z-score"}
        assert served.sample("kedge_input_stat_violations_total", labels) == 1

    play(bundles["root"], story, policy=Policy(input_stats="reject"))


SLOW = {"x": np.zeros((1000, 1024), np.float32)}


def test_a_cancellation_just_before_the_deadline_is_the_callers_deadline(bundles: Bundles):
    # The caller's clock began earlier than ours, so gRPC's cancellation comes before our deadline.
    async def story(served: Serving) -> None:
        for left_s in (0.04, 60.0):
            task = asyncio.ensure_future(served.ask(SLOW, deadline=time.monotonic() + left_s))
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (served.counted("DEADLINE_EXCEEDED"), served.counted("CANCELLED")) == (1, 1)

    play(bundles["slow"], story)


def test_deadlines_and_cancellations_are_told_apart(bundles: Bundles):
    async def story(served: Serving) -> None:
        with pytest.raises(DeadlinePassed):
            await served.ask(SLOW, deadline=time.monotonic() - 1)
        with pytest.raises(DeadlinePassed):
            await served.ask(SLOW, deadline=time.monotonic() + 0.03)
        task = asyncio.ensure_future(served.ask(SLOW))
        await asyncio.sleep(0.03)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (served.counted("DEADLINE_EXCEEDED"), served.counted("CANCELLED")) == (2, 1)
        decoded, validated, queued, _, encoded = phase_counts(served)
        assert (decoded, validated, queued, encoded) == (3, 3, 2, 0)

    play(bundles["slow"], story)


def test_a_full_queue_is_counted_and_does_not_grow(bundles: Bundles):
    async def story(served: Serving) -> None:
        x = {"x": np.zeros((1, 1024), np.float32)}
        results = await asyncio.gather(*(served.ask(x) for _ in range(50)), return_exceptions=True)
        full = [result for result in results if isinstance(result, QueueFull)]
        answers = [result for result in results if isinstance(result, Answer)]
        assert len(full) + len(answers) == 50
        assert len(full) >= 40
        assert served.counted("RESOURCE_EXHAUSTED") == len(full)
        assert served.sample("kedge_queue_rows", {"model": "slow", "version": "1"}) == 0

    play(bundles["slow"], story, limits=QueueLimits(queue_rows=4, max_batch_rows=4))


def test_a_request_larger_than_a_batch_is_split_and_larger_than_the_queue_is_refused(bundles: Bundles):
    async def story(served: Serving) -> None:
        x = np.arange(64 * 4, dtype=np.float32).reshape(64, 4)
        np.testing.assert_array_equal((await served.ask({"x": x})).outputs["y"], x)
        assert [run.rows for run in served.runs] == [8] * 8
        with pytest.raises(InvalidInput, match="has 65 rows; this server takes 64 at most"):
            await served.ask({"x": np.zeros((65, 4), np.float32)})

    play(
        bundles["identity"],
        story,
        limits=QueueLimits(queue_rows=64, max_batch_rows=8),
        policy=Policy(max_rows=64),
    )


def test_a_large_request_is_checked_off_the_loop_and_comes_back_whole(bundles: Bundles):
    x = np.random.default_rng(0).normal(size=(1 << 17, 4)).astype(np.float32)

    async def story(served: Serving) -> Any:  # noqa: ANN401
        return await served.ask({"x": x})

    answer = play(
        bundles["identity"],
        story,
        limits=QueueLimits(queue_rows=1 << 17, max_batch_rows=32),
        policy=Policy(max_rows=1 << 17),
    )
    np.testing.assert_array_equal(answer.outputs["y"], x)


def test_a_model_that_is_loading_or_failed_is_not_ready(bundles: Bundles):
    async def story(served: Serving) -> None:
        served.pipeline.models.set_failed(served.model, "its weights were changed")
        caught = await refused(served, NotReady)
        assert "its weights" not in str(caught)  # where and why is for the operator: /readyz
        assert caught.code == "UNAVAILABLE"

    play(bundles["identity"], story)


def test_long_strings_fill_the_queue_as_numbers_of_their_size_do(bundles: Bundles, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kedge_server.arranging.QUICK_S", 0.0)
    texts = np.array([[b"a" * 1000] * 4], object)

    async def story(served: Serving) -> None:
        def decode() -> Call:
            return Call("strings", {"x": texts})

        async def ask(request_bytes: int) -> Answer:
            return await served.pipeline.predict("open-inference", decode, lambda answer: answer, request_bytes)

        assert (await ask(4000)).outputs["y"].tolist() == texts.tolist()
        with pytest.raises(QueueFull, match="MiB wait"):
            await ask(5000)

    play(bundles["strings"], story, limits=QueueLimits(100, 4, queue_bytes=5000))
