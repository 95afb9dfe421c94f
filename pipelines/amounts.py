"""Bytes and spans of time as a person says them."""

__all__ = ["amount", "lasting"]


def amount(size_bytes: int) -> str:
    """Bytes as a person says them: `2.1 GB`."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:,.1f} MB"


def lasting(seconds: float) -> str:
    """Seconds as a person says them: `50 s`, `4 min`, `1 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
