"""The stop that bytes of any layer end with: compression, archive, encoding. The reader's door makes it a violation."""

from pipelines.reading.violations import Rule

__all__ = ["StreamFault"]


class StreamFault(Exception):  # noqa: N818 - bad data is an outcome; this carries it to the reader's door
    """The stream cannot be read beyond this point. `byte_offset` and `line` are in the content, where known."""

    def __init__(
        self,
        rule: Rule,
        found: str,
        expected: str,
        *,
        byte_offset: int | None = None,
        line: int | None = None,
        detail: str | None = None,
    ) -> None:
        """Say which rule is broken, by what, and where."""
        super().__init__(f"{rule}: {found}")
        self.rule = rule
        self.found = found
        self.expected = expected
        self.byte_offset = byte_offset
        self.line = line
        self.detail = detail
