"""Objects in the landing bucket: their identity and their order. Values only."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

__all__ = ["ObjectVersion", "Sequencer", "object_id"]


@dataclass(frozen=True, slots=True, order=True)
class Sequencer:
    """The order of events of one key, compared as an integer.

    S3 gives hexadecimal strings of different lengths; their high digits are epoch seconds, so the shorter one is
    padded on the left, which is what comparing integers does (S3 User Guide, "Event message structure").
    """

    number: int

    @classmethod
    def parse(cls, text: str) -> "Sequencer":
        """Read S3's hexadecimal form. Raises ValueError when it is not hexadecimal."""
        return cls(int(text, 16))

    def sortable(self) -> str:
        """Thirty-two hexadecimal digits: sorts as text the way the number does."""
        return f"{self.number:032x}"


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of one object: the unit of work, and the unit of accounting.

    `key` is decoded. `version_id` is S3's; buckets without versioning are refused by `setup`, so it is never empty.
    `sequencer` is None only for versions found by listing, which no event told of. `size_bytes` and `etag` are
    what the event said; `landed_at` is the event's time (aware, UTC).
    """

    bucket: str
    key: str
    version_id: str
    sequencer: Sequencer | None
    size_bytes: int
    etag: str
    landed_at: datetime

    @property
    def object_id(self) -> str:
        """The hash that stands for bucket and key wherever a name is built: never the raw key."""
        return object_id(self.bucket, self.key)

    @property
    def uri(self) -> str:
        """The S3 URI, for people."""
        return f"s3://{self.bucket}/{self.key}"


def object_id(bucket: str, key: str) -> str:
    """Forty hexadecimal digits that stand for (bucket, key): safe in paths, item keys and file names."""
    return hashlib.sha256(f"{bucket}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()[:40]
