"""What the collector does while modules come in, and afterwards."""

import gc
from collections.abc import Iterator

import pytest

from kedge_bundle.memory import importing


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def test_the_collector_rests_while_modules_come_in_and_leaves_them_alone_afterwards() -> None:
    before = gc.get_freeze_count()
    with importing():
        assert not gc.isenabled()
        kept = [[] for _ in range(100)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= before + len(kept)


def test_an_import_that_fails_wakes_it_up() -> None:
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_where_it_was_switched_off_it_stays_so() -> None:
    gc.disable()
    with importing():
        pass
    assert not gc.isenabled()
