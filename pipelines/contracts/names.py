"""Column names: the name a table's column could have, from a name found elsewhere. Pure.

How names in a file are compared with the contract's is the reader's (`pipelines/reading/headers.py`).
"""

import re
import unicodedata

__all__ = ["MAX_COLUMN_NAME", "plain_name"]

MAX_COLUMN_NAME = 128


def plain_name(name: str) -> str:
    """A name for a table's column, made of any text: lower-case ASCII letters, digits and `_`, no `_` at either end.

    `Dep Time` and `dep-time` become `dep_time`, `Österreich` becomes `osterreich`; `2nd` becomes `c_2nd`, because a name
    starts with a letter. A name without any letter or digit becomes the empty text.
    """
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode("ascii")
    joined = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return f"c_{joined}" if joined[:1].isdigit() else joined
