"""Fields without parsing: whatever is cut out, what remains says to protobuf what the whole message said."""

import time

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from kedge_server.pb.open_inference_pb2 import ModelInferRequest
from kedge_server.wire.codec.fields import cut_out, length_delimited, place_of

ID, RAW = 3, 7


def request(**fields: object) -> ModelInferRequest:
    made = ModelInferRequest(model_name="digits", id="first", **fields)
    made.inputs.add(name="x", datatype="FP32", shape=[2, 300])
    made.parameters["timeout"].int64_param = 2**40
    made.raw_input_contents.extend([b"a" * 300, b"", b"\x00\xff" * 70])
    return made


def parsed(message: bytes) -> ModelInferRequest | None:
    try:
        return ModelInferRequest.FromString(message)
    except DecodeError:
        return None


def agrees(message: bytes) -> bool:
    """Whether the parts say what the whole does; also where that is nothing that can be parsed."""
    rest, (ids, raw) = cut_out(message, ID, RAW)
    whole, remaining = parsed(message), parsed(rest)
    if not ids and not raw:
        return rest == message
    if remaining is None or whole is None:
        # An id that is no UTF-8 is in the whole alone; `text_of` refuses it.
        return remaining is whole or (remaining is not None and _is_no_text(ids))
    remaining.id = str(ids[-1], "utf-8") if ids else remaining.id
    remaining.raw_input_contents.extend(bytes(one) for one in raw)
    return remaining == whole


def _is_no_text(ids: list[memoryview]) -> bool:
    try:
        return not [str(one, "utf-8") for one in ids]
    except UnicodeDecodeError:
        return True


def test_what_is_cut_out_is_the_same_and_lies_where_it_lay():
    message = request().SerializeToString()
    rest, (ids, raw) = cut_out(message, ID, RAW)
    assert [bytes(one) for one in ids] == [b"first"]
    assert [bytes(one) for one in raw] == list(request().raw_input_contents)
    assert np.shares_memory(np.frombuffer(raw[0], np.uint8), np.frombuffer(message, np.uint8))
    assert agrees(message)
    assert not ModelInferRequest.FromString(rest).raw_input_contents


def test_a_message_without_such_fields_comes_back_itself():
    message = ModelInferRequest(model_name="digits").SerializeToString()
    rest, found = cut_out(message, ID, RAW)
    assert rest is message
    assert found == ([], [])


def test_fields_that_nobody_knows_stay():
    unknown = b"\xf8\x01\x96\x01"  # number 31, a varint: two bytes of tag are not looked through
    rest, (_, raw) = cut_out(request().SerializeToString() + unknown, ID, RAW)
    assert raw == []
    assert agrees(request().SerializeToString() + unknown)
    known_kinds = b"\x70\x96\x01" + b"\x71" + b"8bytes.." + b"\x75" + b"4byt" + b"\x7a\x01x"  # number 14 and 15
    message = known_kinds + request().SerializeToString() + known_kinds
    rest, (_, raw) = cut_out(message, ID, RAW)
    assert len(raw) == 3
    assert rest.count(known_kinds) == 2
    assert agrees(message)


def test_the_last_of_several_ids_counts():
    message = request().SerializeToString() + length_delimited(ID, b"second")
    _, (ids, _) = cut_out(message, ID, RAW)
    assert [bytes(one) for one in ids] == [b"first", b"second"]
    assert agrees(message)


@pytest.mark.parametrize(
    "message",
    [
        length_delimited(RAW, b"a") * 65,
        b"\x3b" + length_delimited(RAW, b"a") + b"\x3c",  # a group
        length_delimited(RAW, b"a") + b"\x3a\x05abcd",  # ends within the field
        length_delimited(RAW, b"a") + b"\x3a",  # and before its length
        length_delimited(RAW, b"a") + b"\x3a" + b"\xff" * 30,
    ],
)
def test_what_is_not_plain_is_left_whole(message: bytes):
    assert cut_out(message, ID, RAW) == (message, ([], []))


def test_a_length_without_end_takes_no_time():
    message = b"\x3a" + b"\xff" * (32 << 20)
    began = time.process_time()
    assert cut_out(message, ID, RAW) == (message, ([], []))
    assert time.process_time() - began < 1


def test_every_beginning_of_a_message_is_read_as_protobuf_reads_it():
    message = request().SerializeToString()
    assert all(agrees(message[:length]) for length in range(len(message)))


def test_messages_with_broken_bytes_are_read_as_protobuf_reads_them():
    rng = np.random.default_rng(5)
    message = request().SerializeToString()
    heads = [0, *(place for place in range(len(message)) if message[place] in b"\x3a\x1a\x2a\x22\x0a")]
    for _ in range(20_000):
        broken = bytearray(message)
        for place in rng.choice(heads, 2) + rng.integers(0, 3, 2):
            broken[place % len(broken)] = rng.integers(0, 256)
        assert agrees(bytes(broken)), bytes(broken)


def test_the_place_of_a_field_is_where_its_bytes_lie():
    made = ModelInferRequest(model_name="digits", raw_input_contents=[b"a" * 300])
    made.inputs.add(name="x", datatype="FP32")
    message = made.SerializeToString()
    for path, held in (((RAW,), b"a" * 300), ((1,), b"digits"), ((5, 1), b"x"), ((5, 2), b"FP32")):
        place = place_of(message, *path)
        assert place is not None
        assert message[slice(*place)] == held


@pytest.mark.parametrize("path", [(ID,), (5, 3), (RAW, 1)])
def test_a_field_that_is_not_there_has_no_place(path: tuple[int, ...]):
    made = ModelInferRequest(model_name="digits", raw_input_contents=[b""])
    made.inputs.add(name="x", datatype="FP32")
    assert place_of(made.SerializeToString(), *path) is None


def test_one_of_several_has_no_place_nor_has_what_is_not_plain():
    message = ModelInferRequest(raw_input_contents=[b"a", b"b"]).SerializeToString()
    assert place_of(message, RAW) is None
    assert place_of(message[:3], RAW) is not None
    assert place_of(message[:3] + b"\x3b", RAW) is None  # a group
    assert place_of(b"\x3a\x05abcd", RAW) is None
    assert place_of(b"\x3a", RAW) is None
    assert place_of(length_delimited(5, b"\x0a\x7fx") + b"y" * 200, 5, 1) is None  # reaches beyond its message
