"""Why a model has no TFLite form, in words: the layer, the op, and what to do about it."""

import re
from collections.abc import Mapping

from kedge_exporter.keras_model import describe
from kedge_exporter.naming import place

_OP = re.compile(r"'(?:tf)\.([A-Za-z0-9_]+)' op|tf\.([A-Za-z0-9]+)\(")
_NODE = re.compile(r'loc\(fused\["\w+:", "([^"]+)"\]\): (?:error: )?\'tf\.')

_ADVICE: dict[str, str] = {
    **dict.fromkeys(
        ("AsString", "StringToHashBucketFast", "StringToHashBucketStrong", "SparseCross"),
        "TFLite cannot hash; hash before the request and give the model the indices",
    ),
    **dict.fromkeys(
        ("IRFFT", "IRFFT2D", "IRFFT3D", "Complex"),
        "TFLite knows real forward transforms only; transform before or after the request",
    ),
    **dict.fromkeys(
        ("Cholesky", "MatrixInverse", "MatrixDeterminant", "LogMatrixDeterminant", "MatrixSolve", "MatrixSolveLs",
         "MatrixTriangularSolve", "SelfAdjointEigV2", "Svd", "Qr", "Lu"),
        "TFLite has no linear algebra beyond products; compute it outside the model",
    ),
    **dict.fromkeys(
        ("StringSplitV2", "StringLower", "StringUpper", "StaticRegexReplace", "RaggedTensorToTensor"),
        "TFLite cannot take text apart; split it into words, or look them up, before the request",
    ),
    **dict.fromkeys(
        ("TensorListReserve", "TensorListSetItem", "TensorListGetItem", "TensorListStack", "TensorListFromTensor"),
        "a loop over a list of tensors; TFLite needs every size but the batch fixed where it unrolls none",
    ),
    **dict.fromkeys(
        ("ArgMax", "ArgMin", "FloorDiv", "BitwiseXor", "RightShift", "Pow"),
        "TFLite has it for float32 and int32; cast before this layer",
    ),
}  # fmt: skip
"""Op -> what its user can do."""
_OTHERWISE = "build the layer from other ops, or leave this part out of the model"


def reason(error: BaseException, layers: Mapping[str, str]) -> str:
    """The ops without builtin form, the layers they stand in and advice, out of the converter's long message.

    Args:
        error: what the converter raised.
        layers: the model's layers, name -> class.
    """
    text = str(error)
    ops = sorted({match[1] or match[2] for match in _OP.finditer(text)})
    if not ops:
        return describe(error)
    places = dict.fromkeys(place(node, layers) for node in _NODE.findall(text))
    where = f" {next(iter(places))}" if places else ""
    advice = "; ".join(dict.fromkeys(_ADVICE.get(op, _OTHERWISE) for op in ops))
    return f"no builtin TFLite op for {', '.join(f'tf.{op}' for op in ops)}{where}; {advice}"
