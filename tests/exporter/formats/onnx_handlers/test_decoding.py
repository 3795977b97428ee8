"""Decoding of sequences."""

from collections.abc import Callable

import pytest

from tests.exporter.formats.onnx_handlers.case import Case, normal

LOGITS = normal(5, 2, 4)


def decode(tf: object, logits: object, blank: int) -> object:
    lengths = [5, 5]
    (decoded,), _ = tf.nn.ctc_greedy_decoder(logits, lengths, blank_index=blank)  # type: ignore[attr-defined]
    return tf.sparse.to_dense(decoded, default_value=-1)  # type: ignore[attr-defined]


CASES = {
    "the last class is the blank": Case(lambda tf, x: decode(tf, x, -1), (LOGITS,), ((5, 2, 4),)),
    "another blank": Case(
        lambda tf, x: decode(tf, x, 0),
        (LOGITS,),
        ((5, 2, 4),),
        refused=("CTCGreedyDecoder", "the blank must be the last class"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_blank_is_never_mistaken(check: Callable[[str], None], name: str) -> None:
    check(name)
