"""Which line of the model graph runs where: every answer keeps a lane of its own until its last reader has it."""

from dataclasses import dataclass

from kedge_exporter.report.data import GraphNode

TOP, MIDDLE, BOTTOM = 0, 5, 10
"""Of a row, in its own units; lanes are counted from the left."""


@dataclass(frozen=True)
class Row:
    """One call and the lines beside it.

    Attributes:
        lane: where the call itself stands.
        passing: lanes that run through.
        arriving: lanes from above that end in the call, or send a branch to it.
        is_read: whether its answer goes on downwards.
    """

    node: GraphNode
    lane: int
    passing: tuple[int, ...]
    arriving: tuple[int, ...]
    is_read: bool


def rows_of(nodes: tuple[GraphNode, ...]) -> list[Row]:
    """Lay the calls out from top to bottom, in their order; each follows what it reads."""
    last_reader = {read: place for place, node in enumerate(nodes) for read in node.inputs}
    lanes: dict[str, int] = {}
    rows = []
    for place, node in enumerate(nodes):
        arriving = [lanes[read] for read in node.inputs if read in lanes]
        for read in node.inputs:
            if last_reader[read] == place:
                lanes.pop(read, None)
        lane = _free_lane(set(lanes.values()), preferred=arriving)
        passing = tuple(sorted(lanes.values()))
        is_read = node.name in last_reader
        if is_read:
            lanes[node.name] = lane
        rows.append(Row(node, lane, passing, tuple(arriving), is_read))
    return rows


def width_of(rows: list[Row]) -> int:
    """How many lanes there are at most."""
    return max((max(row.lane, *row.passing, *row.arriving, 0) for row in rows), default=0) + 1


def path_of(row: Row, step: int) -> str:
    """The lines of a row as the data of an SVG path; lanes are `step` apart, the first at half a step."""
    lines = [f"M{_x(lane, step)} {TOP}V{BOTTOM}" for lane in row.passing]
    here = _x(row.lane, step)
    for lane in row.arriving:
        there = _x(lane, step)
        is_straight = there == here
        curve = f"V{MIDDLE}" if is_straight else f"C{there} {MIDDLE} {here} {TOP} {here} {MIDDLE}"
        lines.append(f"M{there} {TOP}{curve}")
    if row.is_read:
        lines.append(f"M{here} {MIDDLE}V{BOTTOM}")
    return "".join(lines)


def dot_of(row: Row, step: int) -> str:
    """The place of the call: a line of no length, which keeps its round ends however the row is stretched."""
    return f"M{_x(row.lane, step)} {MIDDLE}h0"


def _x(lane: int, step: int) -> int:
    return lane * step + step // 2


def _free_lane(taken: set[int], preferred: list[int]) -> int:
    for lane in preferred:
        if lane not in taken:
            return lane
    return next(lane for lane in range(len(taken) + 1) if lane not in taken)
