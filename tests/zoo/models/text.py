"""Words and numbers that are looked up or hashed."""

from typing import Any

import numpy as np

from tests.zoo.lazy import keras, layers
from tests.zoo.registry import rng, zoo

_FAMILY = "Lookups"
_WORDS = ["cat", "dog", "otter", "owl"]
_NUMBERS = [3, 7, 11, 400]
_NO_HASH = (
    r"cannot be produced: .*(StringToHashBucket|SparseCross).* at 'functional_1/(place|bucket)_1.*"
    r"hash before the request"
)
_NO_TEXT = r"cannot be produced: .*StaticRegexReplace.* at 'functional_1/text_vectorization_1.*before the request"


def _integers() -> dict[str, Any]:
    return {"numbers": rng().choice([3, 7, 11, 400, 5, -9], (12, 3)).astype(np.int64)}


def _strings() -> dict[str, Any]:
    return {"words": rng().choice([b"cat", b"dog", b"otter", b"owl", b"yeti", b""], (12, 3)).astype(object)}


@zoo(_FAMILY, samples=_integers)
def integer_lookup() -> Any:
    """IntegerLookup in every output mode, with several places for unknown numbers, and back."""
    numbers = keras.Input((3,), dtype="int64", name="numbers")
    idf = [1.0, 0.5, 0.25, 2.0]
    return keras.Model(
        numbers,
        {
            "int": layers.IntegerLookup(vocabulary=_NUMBERS)(numbers),
            "masked": layers.IntegerLookup(vocabulary=_NUMBERS, mask_token=0)(numbers),
            "one_hot": layers.IntegerLookup(vocabulary=_NUMBERS, output_mode="one_hot")(numbers[:, :1]),
            "multi_hot": layers.IntegerLookup(vocabulary=_NUMBERS, output_mode="multi_hot")(numbers),
            "count": layers.IntegerLookup(vocabulary=_NUMBERS, output_mode="count")(numbers),
            "tf_idf": layers.IntegerLookup(vocabulary=_NUMBERS, output_mode="tf_idf", idf_weights=idf)(numbers),
            "back": layers.IntegerLookup(vocabulary=_NUMBERS, invert=True)(keras.ops.mod(numbers, 5)),
        },
    )


@zoo(_FAMILY, samples=_strings)
def string_lookup() -> Any:
    """StringLookup into indices and an embedding."""
    words = keras.Input((3,), dtype="string", name="words")
    places = layers.StringLookup(vocabulary=_WORDS)(words)
    x = layers.Flatten()(layers.Embedding(5, 3)(places))
    return keras.Model(words, {"place": places, "answer": layers.Dense(2)(x)})


@zoo(_FAMILY, fast=False, samples=_strings)
def string_lookup_modes() -> Any:
    """StringLookup in its other output modes."""
    words = keras.Input((3,), dtype="string", name="words")
    idf = [1.0, 0.5, 0.25, 2.0]
    return keras.Model(
        words,
        {
            "masked": layers.StringLookup(vocabulary=_WORDS, mask_token="")(words),
            "one_hot": layers.StringLookup(vocabulary=_WORDS, output_mode="one_hot")(words[:, :1]),
            "multi_hot": layers.StringLookup(vocabulary=_WORDS, output_mode="multi_hot")(words),
            "count": layers.StringLookup(vocabulary=_WORDS, output_mode="count")(words),
            "tf_idf": layers.StringLookup(vocabulary=_WORDS, output_mode="tf_idf", idf_weights=idf)(words),
        },
    )


@zoo(_FAMILY)
def string_lookup_inverted() -> Any:
    """The class with the best score, as a word."""
    features = keras.Input((6,), name="features")
    best = keras.ops.argmax(layers.Dense(5)(features), axis=-1)
    return keras.Model(features, layers.StringLookup(vocabulary=_WORDS, invert=True, name="animal")(best))


@zoo(_FAMILY, fast=False, samples=_integers)
def integer_lookup_several_unknown() -> Any:
    """IntegerLookup that spreads unknown numbers over several places."""
    numbers = keras.Input((3,), dtype="int64", name="numbers")
    return keras.Model(numbers, layers.IntegerLookup(vocabulary=_NUMBERS, num_oov_indices=3, name="place")(numbers))


@zoo(_FAMILY, fast=False, samples=_strings, refused={"tflite": _NO_HASH, "onnx": _NO_HASH})
def string_lookup_several_unknown() -> Any:
    """StringLookup that spreads unknown words over several places, by a hash."""
    words = keras.Input((3,), dtype="string", name="words")
    return keras.Model(words, layers.StringLookup(vocabulary=_WORDS, num_oov_indices=3, name="place")(words))


@zoo(_FAMILY, fast=False, samples=_strings, refused={"tflite": _NO_HASH, "onnx": _NO_HASH})
def string_hashing() -> Any:
    """Hashing of words."""
    words = keras.Input((3,), dtype="string", name="words")
    return keras.Model(words, layers.Hashing(7, name="bucket")(words))


@zoo(_FAMILY, fast=False, samples=_strings, refused={"tflite": _NO_HASH, "onnx": _NO_HASH})
def string_hashing_salted() -> Any:
    """Hashing of words with a salt, which takes SipHash."""
    words = keras.Input((3,), dtype="string", name="words")
    return keras.Model(words, layers.Hashing(7, salt=133, name="bucket")(words))


@zoo(_FAMILY, samples=_integers, refused={"tflite": _NO_HASH, "onnx": _NO_HASH})
def hashing() -> Any:
    """Hashing of integers, which are hashed as text."""
    numbers = keras.Input((3,), dtype="int64", name="numbers")
    return keras.Model(numbers, layers.Hashing(7, name="bucket")(numbers))


@zoo(
    _FAMILY,
    fast=False,
    samples=lambda: {name: _strings()["words"][:, :1] for name in ("animal", "place")},
    refused={"tflite": _NO_HASH, "onnx": _NO_HASH},
)
def hashed_crossing() -> Any:
    """HashedCrossing of two words."""
    animal, place = (keras.Input((1,), dtype="string", name=name) for name in ("animal", "place"))
    return keras.Model([animal, place], layers.HashedCrossing(11, name="bucket")((animal, place)))


def _sentences() -> dict[str, Any]:
    texts = [b"The cat, the dog!", b"an OTTER and an owl", b"", b"dog dog dog", b"yeti?", b"owl otter cat dog"]
    return {"text": np.array(texts, object).reshape(-1, 1)}


@zoo(_FAMILY, fast=False, samples=_sentences, refused={"tflite": _NO_TEXT, "onnx": _NO_TEXT})
def text_vectorization() -> Any:
    """TextVectorization: lower case, no punctuation, split at spaces, looked up."""
    text = keras.Input((1,), dtype="string", name="text")
    words = layers.TextVectorization(vocabulary=_WORDS, output_sequence_length=5)(text)
    return keras.Model(text, layers.Dense(2, name="answer")(layers.Flatten()(layers.Embedding(6, 3)(words))))
