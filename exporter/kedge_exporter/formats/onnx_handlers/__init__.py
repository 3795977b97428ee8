"""How to write, in ONNX, the TensorFlow ops that tf2onnx lacks or writes wrongly: one module for each family of ops."""

from kedge_exporter.formats.onnx_handlers import (
    bits,
    buckets,
    colours,
    decoding,
    division,
    fourier,
    logarithms,
    lookup,
    resizing,
    scattering,
    strings,
    vectors,
)
from kedge_exporter.formats.onnx_handlers.erfc import erfc
from kedge_exporter.formats.onnx_handlers.one_hot import one_hot
from kedge_exporter.formats.onnx_handlers.rewriting import Handler
from kedge_exporter.formats.onnx_handlers.selection import select
from kedge_exporter.formats.onnx_handlers.shapes import broadcast_args
from kedge_exporter.tables import Table


def handlers(tables: tuple[Table, ...]) -> dict[str, Handler]:
    """TensorFlow op -> its handler, in a graph that reads these tables."""
    return {
        "Bitcast": bits.bitcast,
        "BroadcastArgs": broadcast_args,
        "Bucketize": buckets.bucketize,
        "CTCGreedyDecoder": decoding.ctc_greedy_decoder,
        "Cast": fourier.cast,
        "Complex": fourier.make_complex,
        "ComplexAbs": fourier.absolute,
        "Conj": fourier.conjugate,
        "Cross": vectors.cross,
        "Cumprod": vectors.cumprod,
        "DenseBincount": scattering.dense_bincount,
        "Equal": strings.equal,
        "Erfc": erfc,
        "Expm1": logarithms.expm1,
        "FFT": fourier.transform(1, is_inverse=False),
        "FFT2D": fourier.transform(2, is_inverse=False),
        "FloorDiv": division.floor_div,
        "FloorMod": division.floor_mod,
        "HSVToRGB": colours.hsv_to_rgb,
        "IFFT": fourier.transform(1, is_inverse=True),
        "IFFT2D": fourier.transform(2, is_inverse=True),
        "IRFFT": fourier.irfft,
        "Imag": fourier.part_of(1),
        "InTopKV2": vectors.in_top_k,
        "LeftShift": bits.left_shift,
        "Log1p": logarithms.log1p,
        "LookupTableFindV2": lookup.find_in(tables),
        "LowerBound": buckets.lower_bound,
        "Mod": division.truncate_mod,
        "NotEqual": strings.not_equal,
        "OneHot": one_hot,
        "Pad": fourier.pad,
        "RFFT": fourier.rfft,
        "RGBToHSV": colours.rgb_to_hsv,
        "Real": fourier.part_of(0),
        "ResizeArea": resizing.resize_area,
        "ResizeBicubic": resizing.resize_bicubic,
        "ResizeBilinear": resizing.resize_bilinear,
        "RightShift": bits.right_shift,
        "ScaleAndTranslate": resizing.scale_and_translate,
        "ScatterNd": scattering.scatter_nd,
        "SelectV2": select,
        "TensorScatterAdd": scattering.tensor_scatter_add,
        "TruncateMod": division.truncate_mod,
        "UnsortedSegmentMax": scattering.unsorted_segment("max"),
        "UnsortedSegmentMin": scattering.unsorted_segment("min"),
        "UnsortedSegmentProd": scattering.unsorted_segment("mul"),
        "UnsortedSegmentSum": scattering.unsorted_segment("add"),
        "UpperBound": buckets.upper_bound,
        "Xdivy": logarithms.xdivy,
        "XlaDynamicUpdateSlice": scattering.dynamic_update_slice,
        "Xlog1py": logarithms.xlog1py,
        "Xlogy": logarithms.xlogy,
    }
