"""SavedModel: `serving_default` calls the frozen function, by name in and by name out."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from kedge_bundle.manifest import Artifact
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions
from kedge_exporter.keras_model import describe
from kedge_exporter.tracing import Frozen
from kedge_exporter.writing import as_write_error

FORMAT = "saved_model"
SIGNATURE = "serving_default"
_FILES = ("saved_model.pb", "fingerprint.pb", "variables/*", "assets/*")


def convert(frozen: Frozen, directory: Path, _: ConvertOptions) -> Artifact:
    """Write a SavedModel into `directory` itself, so that `models/<name>` is a TensorFlow Serving repository."""
    write(frozen, directory)
    files = sorted(path for pattern in _FILES for path in directory.glob(pattern) if path.is_file())
    names = frozen.signature.output_names
    return Artifact(
        format=FORMAT,
        path=".",
        files=tuple(describe_file(directory, path) for path in files),
        inputs=frozen.arguments,
        outputs={name: name for name in names},
        batch=frozen.batch or "dynamic",
        ops=tuple(sorted(frozen.ops)),
        verdict="failed",
    )


def write(frozen: Frozen, directory: Path) -> None:
    """Save the frozen function with its signature.

    Raises:
        FormatImpossible: TensorFlow cannot save it.
        OSError: the disk is full or cannot be written.
    """
    shapes = {spec.name: spec.shape for spec in frozen.signature.outputs}
    handles = {table.placeholder: table.resource.resource_handle for table in frozen.tables}

    def serve(**inputs: Any) -> dict[str, Any]:  # noqa: ANN401 (TensorFlow ships no types)
        given = inputs | handles
        answers = frozen.function(*[given[tensor.op.name] for tensor in frozen.function.inputs])
        # The frozen function answers in the order of the sorted names, not in the model's.
        named = dict(zip(frozen.output_order, answers, strict=True))
        # Freezing forgets shapes behind functions that were not inlined.
        for name, shape in shapes.items():
            named[name].set_shape(shape)
        return named

    module = tf.Module()
    module.frozen = frozen.function
    module.tables = [table.resource for table in frozen.tables]  # a table is saved where an object tracks it
    specs = {
        frozen.arguments[spec.name]: tf.TensorSpec(
            spec.shape, tf.as_dtype(spec.dtype), name=frozen.arguments[spec.name]
        )
        for spec in frozen.signature.inputs
    }
    try:
        concrete = tf.function(serve, autograph=False).get_concrete_function(**specs)
        # Activations with their own gradient (silu) capture what a frozen function does not have; nothing trains here.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(directory), signatures={SIGNATURE: concrete}, options=options)
    except Exception as error:  # TensorFlow's own types, ValueError, AssertionError
        raise as_write_error(error) or FormatImpossible(FORMAT, describe(error)) from error
