import numpy as np
import pytest

from kedge_server.pb.open_inference_pb2 import InferTensorContents
from kedge_server.wire.codec.open_inference import (
    DATATYPES,
    datatype_of,
    decode_contents,
    decode_raw,
    encode_raw,
)
from kedge_server.wire.codec.shapes import TensorInvalid, checked_shape
from tests.server.wire.arrays import DTYPES, extremes, same

SHAPES = [(), (1,), (7,), (2, 3), (2, 1, 4), (0, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_survives_the_raw_form(dtype: str, shape: tuple[int, ...]):
    array = extremes(dtype, shape)
    assert datatype_of(array) == DATATYPES[dtype]
    assert same(decode_raw(DATATYPES[dtype], shape, encode_raw(array)), array)


def test_raw_numbers_are_viewed_and_not_copied():
    data = np.arange(6, dtype=np.float32).tobytes()
    decoded = decode_raw("FP32", (2, 3), data)
    assert np.shares_memory(decoded, np.frombuffer(data, np.uint8))


def test_raw_bytes_have_the_lengths_of_the_specification():
    assert encode_raw(np.array([b"ab", b""], object)) == b"\x02\x00\x00\x00ab\x00\x00\x00\x00"


FIELDS = {
    "bool": "bool_contents", "int8": "int_contents", "int16": "int_contents", "int32": "int_contents",
    "int64": "int64_contents", "uint8": "uint_contents", "uint16": "uint_contents", "uint32": "uint_contents",
    "uint64": "uint64_contents", "float32": "fp32_contents", "float64": "fp64_contents", "string": "bytes_contents",
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", FIELDS)
def test_every_dtype_but_float16_comes_in_typed_contents(dtype: str, shape: tuple[int, ...]):
    array = extremes(dtype, shape)
    contents = InferTensorContents(**{FIELDS[dtype]: array.ravel().tolist()})
    assert same(decode_contents(DATATYPES[dtype], shape, contents), array)


def test_float16_travels_only_raw():
    with pytest.raises(TensorInvalid, match="FP16 travels only in raw_input_contents"):
        decode_contents("FP16", (1,), InferTensorContents(fp32_contents=[1.0]))


@pytest.mark.parametrize(
    ("datatype", "contents", "why"),
    [
        ("FP32", InferTensorContents(fp64_contents=[1, 2]), "in fp32_contents, got values in fp64_contents"),
        ("FP32", InferTensorContents(fp32_contents=[1]), "expected 2 values in fp32_contents .*, got 1"),
        ("FP32", InferTensorContents(), "expected 2 values in fp32_contents .*, got 0"),
        ("INT8", InferTensorContents(int_contents=[0, 128]), "values from -128 to 127 for int8"),
        ("UINT16", InferTensorContents(uint_contents=[65536, 0]), "values from 0 to 65535 for uint16"),
        ("BYTES", InferTensorContents(bytes_contents=[b"a"]), "expected 2 values in bytes_contents .*, got 1"),
        ("FP31", InferTensorContents(fp32_contents=[1, 2]), "expected a datatype among .*, got 'FP31'"),
        ("BF16", InferTensorContents(fp32_contents=[1, 2]), "BF16 is not served; send FP32"),
    ],
)
def test_contents_that_do_not_fit_are_refused(datatype: str, contents: InferTensorContents, why: str):
    with pytest.raises(TensorInvalid, match=why):
        decode_contents(datatype, (2,), contents)


@pytest.mark.parametrize(
    ("datatype", "data", "why"),
    [
        ("FP32", b"\0" * 7, r"expected 8 bytes for FP32 of shape \[2\], got 7"),
        ("FP32", b"\0" * 9, r"expected 8 bytes for FP32 of shape \[2\], got 9"),
        ("FP32", b"", "expected 8 bytes .*, got 0"),
        ("BOOL", b"\0\2", "a byte of 0 or 1"),
        ("BYTES", b"\0\0\0\0\0\0\0", "expected 2 BYTES elements"),
        ("BYTES", b"\xff\xff\xff\xff" + b"\0" * 8, "element 0 of 2 reaches beyond the 12 bytes"),
        ("BYTES", b"\1\0\0\0a\1\0\0", "element 1 of 2 reaches beyond the 8 bytes"),
        ("BYTES", b"\0\0\0\0" * 3, "expected 2 BYTES elements in 8 bytes, got 12"),
        ("fp32", b"\0" * 8, "got 'fp32'"),
        ("", b"", "got ''"),
    ],
)
def test_raw_bytes_that_do_not_fit_are_refused(datatype: str, data: bytes, why: str):
    with pytest.raises(TensorInvalid, match=why):
        decode_raw(datatype, (2,), data)


@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ([-1, 3], r"got the shape \[-1, 3\]"),
        ([3, -(2**63)], "only a model leaves one open"),
        ([2**62, 4], "more values than a message can carry"),
        ([0, 2**62], "more values than a message can carry"),
        ([2**20, 2**21], "more values than a message can carry"),
        ([1] * 33, "expected at most 32 axes, got 33"),
    ],
)
def test_shapes_that_no_array_has_are_refused(sizes: list[int], why: str):
    with pytest.raises(TensorInvalid, match=why):
        checked_shape(sizes)


def test_a_shape_that_passes_fits_into_numpy():
    assert np.zeros(0).reshape(checked_shape([0, 2**40])).size == 0


def test_a_huge_shape_with_few_bytes_costs_no_memory():
    shape = checked_shape([2**39])
    for datatype in DATATYPES.values():
        with pytest.raises(TensorInvalid, match="expected"):
            decode_raw(datatype, shape, b"\1\0\0\0abc")


def test_random_bytes_are_an_array_or_refused():
    rng = np.random.default_rng(7)
    datatypes = list(DATATYPES.values())
    refused = 0
    for _ in range(3000):
        shape = tuple(int(size) for size in rng.integers(0, 4, rng.integers(0, 4)))
        data = rng.choice(np.array([0, 0, 0, 1, 2, 255], np.uint8), rng.integers(0, 40)).tobytes()
        try:
            array = decode_raw(str(rng.choice(datatypes)), shape, data)
        except TensorInvalid:
            refused += 1
        else:
            assert array.shape == shape
            assert encode_raw(array) == data
    assert 100 < refused < 3000


def test_a_dtype_that_the_protocol_lacks_is_refused():
    with pytest.raises(TensorInvalid, match="complex64 has no datatype"):
        datatype_of(np.zeros(1, np.complex64))
