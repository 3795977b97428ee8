"""What a user can do where ONNX has no form of a TensorFlow op: one sentence for each family of ops."""

_HASH = "hash before the request and give the model the indices"
_LOOK_UP = "with num_oov_indices=1 no hash is needed; or look up before the request"
_TEXT = "split and normalise text before the request, and give the model words for a StringLookup, or indices"
_ALGEBRA = "compute it before the request or after the answer, or once, when the model is built"
_RANDOM = "answers of a server must not be random: draw before the request and make the draw an input"
_OTHERWISE = "build the layer from other ops, or leave this part out of the model"

_ADVICE = {
    **dict.fromkeys(("AsString", "StringToHashBucketFast", "StringToHashBucketStrong"), f"{_HASH}; {_LOOK_UP}"),
    **dict.fromkeys(("SparseCross", "SparseCrossHashed", "SparseCrossV2"), _HASH),
    **dict.fromkeys(
        ("StringSplitV2", "StaticRegexReplace", "RegexReplace", "StringLower", "StringUpper", "UnicodeDecode",
         "StringNGrams", "StringStrip", "StringLength", "RaggedTensorToTensor", "StringJoin"),
        _TEXT,
    ),
    **dict.fromkeys(
        ("Cholesky", "MatrixInverse", "MatrixDeterminant", "LogMatrixDeterminant", "Svd", "Qr", "SelfAdjointEigV2",
         "Eig", "Lu", "MatrixSolve", "MatrixTriangularSolve", "MatrixSolveLs", "MatrixExponential"),
        _ALGEBRA,
    ),
    **dict.fromkeys(
        ("RandomStandardNormal", "RandomUniform", "RandomUniformInt", "TruncatedNormal", "Multinomial", "RandomGammaV2",
         "RandomShuffle", "StatelessRandomNormalV2", "StatelessRandomUniformV2", "StatelessRandomUniformIntV2",
         "StatelessTruncatedNormalV2", "StatelessMultinomial", "StatelessRandomUniformFullIntV2",
         "StatelessRandomGammaV3", "StatelessRandomBinomial", "StatelessRandomGetKeyCounter"),
        _RANDOM,
    ),
}  # fmt: skip


def advice_for(op: str) -> str:
    """What to do about an op."""
    return _ADVICE.get(op, _OTHERWISE)
