"""Whether this run may take long: `make proof` holds more examples, and every one of what `make test` samples."""

from hypothesis import settings

__all__ = ["IN_PROOF", "examples", "sampled"]

_USUAL = 100
IN_PROOF = (settings.default.max_examples if settings.default else _USUAL) > _USUAL


def examples(usual: int) -> int:
    """Examples of a property: `usual` in `make test`, the profile's number in `make proof`."""
    return settings.default.max_examples if IN_PROOF and settings.default else usual


def sampled(number: int, step: int, offset: int = 0) -> range:
    """The numbers below `number`: all in `make proof`, else each `step`-th from `offset` on."""
    return range(number) if IN_PROOF else range(offset % step, number, step)
