"""Where fuzzing starts: small files that reach most of the reader, one for each contract. As a corpus: `python -m tests.fuzz.seeds FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

_CSV = (
    b'a,b\nx,"y"\n"a ""b""\nc",\r\n',
    b"a\nx\n\ny\n",
    b"a,b\n1,x\n+007,\xc3\xa9\n",
    b"a,b,c\n5,1e3,true\n-1,.5,\n",
    b"a,b,c\n1.50,2020-02-29,abc\n",
    b"a,b\n2020-01-01T00:00:00.5+01:00,1\n",
    b"\xef\xbb\xbfa,b\r2020-03-29T03:30,x\r",
)
_RECORDS = (
    b'{"a":"x","b":"\\ud83d\\ude00"}',
    b'{"a":null}',
    b'{"a":1,"b":"x"}',
    b'{"a":5,"b":1e3,"c":true}',
    b'{"a":1.50,"b":"2020-02-29","c":"abc"}',
    b'{"a":"2020-01-01T00:00:00Z","b":1}',
    b'{"a":"2020-03-29T03:30:00","b":"x"}',
)
SEEDS = {
    "csv": [bytes([n, 5]) + content for n, content in enumerate(_CSV)],
    "json": [bytes([n, 5]) + b"[" + record + b",\n" + record + b"]" for n, record in enumerate(_RECORDS)],
    "jsonl": [bytes([n, 5]) + record + b"\n" + record + b"\n" for n, record in enumerate(_RECORDS)],
}
"""By format: contract and block size in the first two bytes, as `atheris_reader` reads them."""


def main() -> None:
    """Write the seeds as files, a folder a format."""
    for form, contents in SEEDS.items():
        folder = Path(sys.argv[1]) / form
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(contents):
            (folder / f"seed-{number}").write_bytes(content)


if __name__ == "__main__":
    main()
