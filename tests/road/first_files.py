"""Starts the road, lands the first files, and waits until all is at rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.road.files import FIRST, POISON
from tests.road.road import Road, environment_kept, hasten_the_queue


@contextmanager
def road_with_first_files(home: Path) -> Iterator[Road]:
    """The files land and are told of before Dagster is there, some twice; nothing is left running at the end."""
    with environment_kept():
        road = Road.start(home)
        try:
            for key, content in FIRST.items():
                road.put(key, content)
            road.wait(lambda: road.look().messages >= len(FIRST))
            road.duplicates = road.deliver_twice()
            road.send(POISON)
            hasten_the_queue(road.deployment, receives=3)
            road.start_dagster()
            road.await_rest(len(FIRST))
        except BaseException:
            road.laptop.stop()
            raise
    try:
        yield road
    finally:
        with environment_kept():
            road.laptop.stop()
    assert road.left_behind() == []
