"""Colour spaces, as TensorFlow's kernels compute them."""

from kedge_exporter.formats.onnx_handlers.rewriting import Rewriting


def rgb_to_hsv(new: Rewriting) -> str:
    """`RGBToHSV`, channels last."""
    (image,) = new.inputs
    red, green, blue = _channels(new)
    zero, one = new.like(0, image), new.like(1, image)
    value = new.add("Max", red, green, blue)
    spread = new.add("Sub", value, new.add("Min", red, green, blue))
    is_grey = new.add("Not", new.add("Greater", spread, zero))
    norm = new.add("Div", one, new.add("Mul", spread, new.like(6, image)))

    def turn(first: str, second: str, start: float) -> str:
        return new.add("Add", new.add("Mul", norm, new.add("Sub", first, second)), new.like(start, image))

    hue = new.add("Where", new.add("Equal", green, value), turn(blue, red, 2 / 6), turn(red, green, 4 / 6))
    hue = new.add("Where", new.add("Equal", red, value), turn(green, blue, 0), hue)
    hue = new.add("Where", is_grey, zero, hue)
    hue = new.add("Where", new.add("Less", hue, zero), new.add("Add", hue, one), hue)
    saturation = new.add("Where", new.add("Greater", value, zero), new.add("Div", spread, value), zero)
    return new.add("Concat", hue, saturation, value, axis=-1)


def hsv_to_rgb(new: Rewriting) -> str:
    """`HSVToRGB`, channels last."""
    (image,) = new.inputs
    hue, saturation, value = _channels(new)
    zero, one, two = new.like(0, image), new.like(1, image), new.like(2, image)
    sixths = new.add("Mul", hue, new.like(6, image))

    def distance(place: float) -> str:
        return new.add("Abs", new.add("Sub", sixths, new.like(place, image)))

    shares = (new.add("Sub", distance(3), one), new.add("Sub", two, distance(2)), new.add("Sub", two, distance(4)))
    rest = new.add("Sub", one, saturation)
    channels = []
    for share in shares:
        clipped = new.add("Clip", share, zero, one)
        channels.append(new.add("Mul", new.add("Add", rest, new.add("Mul", saturation, clipped)), value))
    return new.add("Concat", *channels, axis=-1)


def _channels(new: Rewriting) -> list[str]:
    """The three channels; since opset 18, a split without sizes says into how many."""
    if new.opset >= 18:  # noqa: PLR2004 (an opset)
        return new.add_many("Split", 3, new.inputs[0], axis=-1, num_outputs=3)
    return new.add_many("Split", 3, new.inputs[0], axis=-1)
