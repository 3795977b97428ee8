"""How long the tests of this folder are, and the models that they share."""

from pathlib import Path

import pytest

from tests.reliability.lengths import LONG, SHORT, Lengths
from tests.server.in_process import lookup
from tests.services.bundles import identity, publish, slow_matmul, square_root, two_output, widened


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="the long forms of tests/reliability: `make soak`")


@pytest.fixture(scope="session")
def lengths(pytestconfig: pytest.Config) -> Lengths:
    # A run that names no test of this folder has not read the option above.
    return LONG if pytestconfig.getoption("--soak", default=False) else SHORT


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`identity`, `any` width, `rows` of two numbers, `lookup`, `root`, `two`, `wide`, and `slow`."""
    repository = tmp_path_factory.mktemp("models")
    for name, model in {
        "identity": identity(),
        "any": identity(shape=(None, None)),
        "rows": identity("int64", (None, 2)),
        "lookup": lookup(),
        "root": square_root(),
        "two": two_output(),
        "wide": widened(),
        "slow": slow_matmul(),
    }.items():
        publish(model, repository, name)
    return repository
