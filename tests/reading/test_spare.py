"""A reader started ahead: taken once, and as good as one started when it is needed."""

from collections.abc import Iterator

import psutil
import pytest

from pipelines.reading import spare
from tests.reading.support import RowList
from tests.reading.test_child import request, wait_for


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    yield
    spare.take().close()


def test_a_prepared_reader_has_its_child_already_and_is_taken_once() -> None:
    spare.prepare()
    spare.prepare()
    with spare.take() as first, spare.take() as second:
        assert first.pid is not None
        assert second.pid is None
        before, rows = first.pid, RowList()
        first.read(request(), lambda: [b"id,name\n1,a\n"], rows)
        assert (first.pid, len(rows.rows)) == (before, 1)


def test_a_spare_that_died_while_it_waited_is_replaced() -> None:
    spare.prepare()
    with spare.take() as reader:
        assert reader.pid is not None
        psutil.Process(reader.pid).kill()
        wait_for(lambda: not psutil.pid_exists(reader.pid or 0) or psutil.Process(reader.pid or 0).status() == "zombie")
        rows = RowList()
        reader.read(request(), lambda: [b"id,name\n1,a\n2,b\n"], rows)
        assert len(rows.rows) == 2


def test_without_preparation_the_child_starts_with_the_first_file() -> None:
    with spare.take() as reader:
        assert reader.pid is None
