"""The clock outside of tests and simulations."""

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.now(UTC)
