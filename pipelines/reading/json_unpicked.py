"""What paths leave of the objects they take apart: members that no column picks. With `new_columns: rescue` none of it is lost."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from pipelines.contracts.json_paths import Step
from pipelines.reading.json_objects import JsonValue

__all__ = ["Unpicked"]

_Node: TypeAlias = "dict[Step, _Node] | None"
"""Where paths go on from a place; None where one ends: all that lies there is taken."""


class Unpicked:
    """The places that some paths, all from one root, lead to."""

    def __init__(self, ways: Iterable[tuple[Step, ...]]) -> None:
        """Take the steps of every path; a way without steps takes the root."""
        self._root: _Node = {}
        for steps in sorted(set(ways), key=len):
            if not steps:
                self._root = None
            if self._root is None:
                return
            self._add(self._root, steps)

    @staticmethod
    def _add(node: dict[Step, _Node], steps: tuple[Step, ...]) -> None:
        for step in steps[:-1]:
            inner = node.setdefault(step, {})
            if inner is None:
                return
            node = inner
        node[steps[-1]] = None

    def of_root(self, value: JsonValue) -> Iterator[tuple[tuple[Step, ...], JsonValue]]:
        """What is left of a root, with the way to each value. A root that no path goes into is left as a whole."""
        if self._root is not None and not self._root:
            if value is not None:
                yield (), value
        else:
            yield from _left(self._root, value, ())

    def of_member(self, key: str, value: JsonValue) -> Iterator[tuple[tuple[Step, ...], JsonValue]]:
        """The same of one member of a root, which some path goes into."""
        if self._root is not None:
            yield from _left(self._root.get(key), value, (key,))


def _left(node: _Node, value: JsonValue, way: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], JsonValue]]:
    # A value that the paths cannot go through is a fault of its own, and kept or refused as such.
    if node is None:
        return
    if isinstance(value, Mapping):
        for key, member in value.items():
            if key in node:
                yield from _left(node[key], member, (*way, key))
            else:
                yield (*way, key), member
    elif isinstance(value, list) and any(
        number not in node or next(_left(node[number], one, ()), None) for number, one in enumerate(value)
    ):
        # An array stays in one piece: its elements one by one would be as many names as it is long.
        yield way, value
