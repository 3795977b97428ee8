from kedge_exporter.report.data import GraphNode
from kedge_exporter.report.rails import Row, dot_of, path_of, rows_of, width_of


def nodes(**reads: str) -> tuple[GraphNode, ...]:
    return tuple(GraphNode(name, "Layer", tuple(said.split())) for name, said in reads.items())


def lanes(rows: list[Row]) -> dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]]:
    return {row.node.name: (row.lane, row.passing, row.arriving) for row in rows}


def test_a_chain_is_one_line():
    rows = rows_of(nodes(a="", b="a", c="b"))
    assert [row.lane for row in rows] == [0, 0, 0]
    assert [row.is_read for row in rows] == [True, True, False]
    assert width_of(rows) == 1
    assert [path_of(row, 14) for row in rows] == ["M7 5V10", "M7 0V5M7 5V10", "M7 0V5"]
    assert dot_of(rows[0], 14) == "M7 5h0"


def test_a_shortcut_runs_beside_the_block_that_it_skips():
    rows = rows_of(nodes(a="", b="a", c="b", sum="c a", d="sum"))
    assert lanes(rows) == {
        "a": (0, (), ()), "b": (1, (0,), (0,)), "c": (1, (0,), (1,)), "sum": (1, (), (1, 0)), "d": (1, (), (1,)),
    }  # fmt: skip
    assert path_of(rows[1], 14) == "M7 0V10M7 0C7 5 21 0 21 5M21 5V10"


def test_a_lane_is_free_again_when_its_last_reader_has_it():
    rows = rows_of(nodes(a="", b="", c="a b", d="", e="c d"))
    assert width_of(rows) == 2
    assert lanes(rows)["d"][0] == 1


def test_no_line_ends_without_a_reader_and_none_begins_without_a_call():
    rows = rows_of(nodes(a="", b="a", c="a", d="b a", e="c d", f="e b a"))
    alive: set[int] = set()
    for row in rows:
        assert set(row.arriving) <= alive
        assert set(row.passing) <= alive
        assert row.lane not in row.passing
        alive = set(row.passing) | ({row.lane} if row.is_read else set())
    assert alive == set()


def test_a_call_that_reads_what_is_not_there_stands_alone():
    rows = rows_of(nodes(a="elsewhere", b="a"))
    assert lanes(rows)["a"] == (0, (), ())
