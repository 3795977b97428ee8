import numpy as np
import pytest

from kedge_server.pb.tensor_pb2 import DT_BFLOAT16, DT_FLOAT, DT_HALF, DT_INT8, DT_STRING, TensorProto, TensorShapeProto
from kedge_server.wire.codec.shapes import TensorInvalid
from kedge_server.wire.codec.tensor_proto import DATA_TYPES, decode, encode
from tests.server.wire.arrays import DTYPES, extremes, same

SHAPES = [(), (1,), (7,), (2, 3), (2, 1, 4), (0, 3)]


def proto(dtype: int, sizes: list[int], **values: object) -> TensorProto:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])
    return TensorProto(dtype=dtype, tensor_shape=shape, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_survives_the_typed_fields(dtype: str, shape: tuple[int, ...]):
    array = extremes(dtype, shape)
    encoded = TensorProto.FromString(encode(array).SerializeToString())
    assert encoded.dtype == DATA_TYPES[dtype]
    assert not encoded.tensor_content
    assert same(decode(encoded), array)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != "string"])
def test_every_dtype_but_strings_comes_as_tensor_content(dtype: str, shape: tuple[int, ...]):
    array = extremes(dtype, shape)
    assert same(decode(proto(DATA_TYPES[dtype], list(shape), tensor_content=array.tobytes())), array)


def test_packed_floats_are_the_ones_that_protobuf_writes():
    array = extremes("float32", (300,))
    plain = proto(DT_FLOAT, [300], float_val=array.tolist())
    assert encode(array).SerializeToString() == plain.SerializeToString()


def test_an_array_that_is_not_contiguous_is_encoded_in_row_major_order():
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    assert same(decode(encode(array)), np.ascontiguousarray(array))
    half = array.astype(np.float16)[:, ::2]
    assert same(decode(encode(half)), np.ascontiguousarray(half))


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_typed_value_fills_the_shape(dtype: str):
    one = encode(extremes(dtype, (1,)))
    del one.tensor_shape.dim[:]
    one.tensor_shape.dim.add(size=2)
    one.tensor_shape.dim.add(size=3)
    assert same(decode(one), extremes(dtype, (1,)).repeat(6).reshape(2, 3))
    assert decode(one).strides == (0, 0), "memory was allocated before anybody knows whether the shape is right"


def test_one_value_does_not_fill_the_memory():
    with pytest.raises(TensorInvalid, match="more than 67108864"):
        decode(proto(DT_FLOAT, [2**34], float_val=[1.0]))
    with pytest.raises(TensorInvalid, match="more than 67108864"):
        decode(proto(DT_STRING, [2**30], string_val=[b"x"]))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (proto(DT_FLOAT, [2, 3], float_val=[1, 2, 3]), r"expected 6 values in float_val .*\[2, 3\], or one .*, got 3"),
        (proto(DT_FLOAT, [2]), "expected 2 values in float_val .*, got 0"),
        (proto(DT_FLOAT, [2], double_val=[1, 2]), "in tensor_content or float_val, got double_val"),
        (proto(DT_FLOAT, [1], float_val=[1], tensor_content=b"abcd"), "got tensor_content and float_val"),
        (proto(DT_FLOAT, [2], tensor_content=b"abcd"), "expected 8 bytes of tensor_content .*, got 4"),
        (proto(DT_STRING, [1], tensor_content=b"\1a"), "expected strings in string_val"),
        (proto(DT_INT8, [1], int_val=[128]), "values from -128 to 127 for int8"),
        (proto(DT_HALF, [1], half_val=[65536]), "values from 0 to 65535"),
        (proto(DATA_TYPES["bool"], [1], tensor_content=b"\2"), "a byte of 0 or 1"),
        (proto(DT_BFLOAT16, [1], half_val=[1]), "expected a dtype among .*, got TensorFlow's number 14"),
        (proto(0, [1]), "got TensorFlow's number 0"),
        (proto(999, [1]), "got TensorFlow's number 999"),
        (proto(DT_FLOAT, [-1], float_val=[1]), r"got the shape \[-1\]"),
        (proto(DT_FLOAT, [2**62, 2**62], float_val=[1]), "more values than a message can carry"),
        (proto(DT_FLOAT, [1] * 33, float_val=[1]), "at most 32 axes"),
        (TensorProto(dtype=DT_FLOAT, tensor_shape=TensorShapeProto(unknown_rank=True)), "got unknown_rank"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(given: TensorProto, why: str):
    with pytest.raises(TensorInvalid, match=why):
        decode(given)


def test_a_dtype_that_cannot_be_encoded_is_refused():
    with pytest.raises(TensorInvalid, match="complex64"):
        encode(np.zeros(1, np.complex64))


def test_random_tensors_are_an_array_or_refused():
    rng = np.random.default_rng(11)
    fields = ["float_val", "int_val", "string_val", "tensor_content", "half_val", "bool_val", "uint64_val"]
    outcomes = {"array": 0, "refused": 0}
    for _ in range(3000):
        sizes = [int(size) for size in rng.choice([-1, 0, 1, 2, 3, 2**40, 2**62], rng.integers(0, 4))]
        field = str(rng.choice(fields))
        count = int(rng.integers(0, 7))
        values: object = [int(value) for value in rng.integers(0, 2, count)]
        if field == "string_val":
            values = [b"x"] * count
        elif field == "tensor_content":
            values = b"\0" * count
        made = proto(int(rng.integers(0, 26)), sizes, **{field: values})
        try:
            outcomes["array"] += decode(made).shape == tuple(sizes)
        except TensorInvalid:
            outcomes["refused"] += 1
    assert sum(outcomes.values()) == 3000
    assert min(outcomes.values()) > 50
