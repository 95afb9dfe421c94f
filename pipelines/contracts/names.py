"""Column names: how a name in a file becomes a name in a table. Pure."""

import re
import unicodedata

__all__ = ["normalise"]


def normalise(name: str) -> str:
    """The table's form of a name found in a file: lower-case ASCII letters, digits and `_`, no `_` at either end.

    `Dep Time` and `dep-time` become `dep_time`, `Österreich` becomes `osterreich`; `2nd` becomes `c_2nd`, because a name
    starts with a letter. A name without any letter or digit becomes the empty text: no column can have it.
    """
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode("ascii")
    joined = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return f"c_{joined}" if joined[:1].isdigit() else joined
