"""Complex Fourier transforms, of which TFLite has none; the converter takes some for real ones, of another length."""

from kedge_exporter.formats.tflite_rewrites.node import CannotRewrite, Node, Tensor


def complex_transform(_: Node) -> Tensor:
    """There is no other form: nothing in TFLite makes a complex number of two real ones."""
    raise CannotRewrite(
        "TFLite has real forward transforms only (keras.ops.rfft); transform before or after the request"
    )
