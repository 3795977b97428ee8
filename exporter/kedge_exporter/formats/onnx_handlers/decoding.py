"""`CTCGreedyDecoder`: tf2onnx writes it for a blank that is the last class only, and forgets to ask."""

from kedge_exporter.formats.onnx_handlers.rewriting import NoOnnxForm, Rewriting


def ctc_greedy_decoder(new: Rewriting) -> None:
    """Refuse another blank; the rest is left to tf2onnx."""
    shape, blank = new.shape(new.inputs[0]), int(new.attribute("blank_index", -1))
    if blank != -1 and (shape is None or blank != shape[-1] - 1):
        raise NoOnnxForm(f"takes the class {blank} for the blank", "in ONNX, the blank must be the last class")
