"""Coverage-guided fuzzing of the reader against the slow reference, with atheris (not a dependency: it has no wheel for every Python).

    python -m pip install atheris
    python -m tests.fuzz.atheris_reader csv -max_total_time=600 CORPUS…      # or json, jsonl; arguments behind it are libFuzzer's

The first byte of an input chooses the contract, the second the block size, the rest is the file. Another verdict, other rows or other
places than the reference's, and anything raised, is a finding: libFuzzer writes the input to `crash-…`.
"""

from __future__ import annotations

import sys

from tests.fuzz.seeds import SEEDS

FORMS = ("csv", "json", "jsonl")
BLOCKS = (1, 2, 3, 7, 64, 4 << 20)


def main() -> int:
    """Fuzz until libFuzzer is told to stop."""
    try:
        import atheris
    except ImportError:
        print("atheris is not installed here: python -m pip install atheris")
        return 0
    if len(sys.argv) < 2 or sys.argv[1] not in FORMS:
        print(f"which of {', '.join(FORMS)}?")
        return 2
    form = sys.argv.pop(1)
    with atheris.instrument_imports(include=["pipelines.reading", "tests.reading"]):
        from tests.reading.nearly_right import CONTRACTS, contract
        from tests.reading.test_against_reference import check
    contracts = [contract(number, form) for number in range(len(CONTRACTS))]

    def one(data: bytes) -> None:
        if len(data) > 2:
            check(contracts[data[0] % len(contracts)], form, data[2:], BLOCKS[data[1] % len(BLOCKS)], 1 << 20)

    for seed in SEEDS[form]:
        one(seed)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
