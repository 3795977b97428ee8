"""All cases of this directory run in one child process, since TensorFlow never enters the test process."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.exporter.conftest import run_module

if TYPE_CHECKING:
    from tests.exporter.formats.onnx_handlers.case import Case


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """(Test module, case) -> `equal`, or what was not."""
    printed = run_module("tests.exporter.formats.onnx_handlers.run_cases", work=tmp_path_factory.mktemp("work"))
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith('["test_')]
    return {(module, name): outcome for module, name, outcome in lines}


@pytest.fixture
def check(request: pytest.FixtureRequest, outcomes: dict[tuple[str, str], str]) -> Callable[[str], None]:
    """Checks the outcome of one case of the test's module: equal to TensorFlow, or refused in so many words."""

    def check_case(name: str) -> None:
        module = request.module.__name__.rpartition(".")[2]
        case: Case = request.module.CASES[name]
        said = outcomes[module, name]
        if case.refused:
            assert all(word in said for word in case.refused), said
        else:
            assert said == "equal", said

    return check_case
