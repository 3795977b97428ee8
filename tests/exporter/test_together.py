"""Cases that are answered together get the answers that they would get alone."""

import numpy as np

from kedge_bundle.cases import Case
from kedge_bundle.signature import Tensors
from kedge_exporter.together import answer_together


class Model:
    """Adds its two inputs, and keeps how many rows it was asked at once."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def answer(self, inputs: Tensors) -> Tensors:
        self.rows.append(len(inputs["a"]))
        return {"sum": inputs["a"].sum(axis=1) + inputs["b"]}


def case(name: str, rows: int, size: int) -> Case:
    values = np.arange(rows * size, dtype=np.float64).reshape(rows, size)
    return Case(name, {"a": values + len(name), "b": np.arange(rows, dtype=np.float64)})


def test_every_case_gets_its_own_rows_whatever_the_lots() -> None:
    cases = [case("typical-1", 1, 3), case("typical-32", 32, 3), case("zeros-2", 2, 3), case("open-7", 7, 5)]
    model = Model()
    answers = answer_together(model.answer, cases)
    assert list(answers) == [one.name for one in cases]
    for one in cases:
        np.testing.assert_array_equal(answers[one.name]["sum"], Model().answer(one.inputs)["sum"])
    assert model.rows == [16, 16, 3, 7]


def test_no_case_is_no_question() -> None:
    assert answer_together(Model().answer, []) == {}
