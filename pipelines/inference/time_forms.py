"""The ways to write dates and times that are looked for, and which of them a column's texts fit. Pure; reads no values.

A form is told by its shape alone, vectorised; that each text is a real day (no 31st of February) is proven when the files are
read again under the finished contract. Day-first and month-first have the same shape: only a number above 12 settles
which it is, and where none does the column stays text. Years of two digits are never read: no file says which century.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["FORMS", "FormFacts", "TimeFacts", "TimeForm"]

_ISO_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_ISO_TIME = "[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,6}0*)?)?"
_OFFSET = "(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)"
_SAMPLE = 200
_SHORTEST, _LONGEST = 6, 40


@dataclass(frozen=True, slots=True)
class TimeForm:
    """One way to write a time. `formats` has the format of a column; two where the shape alone does not say the order.

    Of these the first has the group `a`, the second the group `b` of `shape` as its month.
    """

    shape: str
    formats: tuple[str, ...]
    has_time: bool
    has_offset: bool = False
    is_digits: bool = False
    short_year: bool = False


def _forms() -> Iterable[TimeForm]:
    yield TimeForm(_ISO_DAY, ("iso8601",), has_time=False)
    yield TimeForm(f"{_ISO_DAY}[T ]{_ISO_TIME}", ("iso8601",), has_time=True)
    yield TimeForm(f"{_ISO_DAY}[T ]{_ISO_TIME}{_OFFSET}", ("iso8601",), has_time=True, has_offset=True)
    yield TimeForm("(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])", ("%Y%m%d",), has_time=False, is_digits=True)  # fmt: skip
    two, pair = "[0-9]{1,2}", "(?P<a>[0-9]{1,2}){}(?P<b>[0-9]{1,2}){}"
    word = "[A-Za-z]{3}"
    days: list[tuple[str, tuple[str, ...], bool]] = [
        (f"[0-9]{{4}}/{two}/{two}", ("%Y/%m/%d",), False),
        (f"[0-9]{{4}}[.]{two}[.]{two}", ("%Y.%m.%d",), False),
        (f"{two}-{word}-[0-9]{{4}}", ("%d-%b-%Y",), False),
        (f"{two} {word} [0-9]{{4}}", ("%d %b %Y",), False),
        (f"{word} {two}, [0-9]{{4}}", ("%b %d, %Y",), False),
    ]
    for mark, said in (("/", "/"), ("-", "-"), ("[.]", ".")):
        both = pair.replace("{}", mark)
        orders = (f"%m{said}%d{said}", f"%d{said}%m{said}")
        days.append((f"{both}[0-9]{{4}}", tuple(f"{order}%Y" for order in orders), False))
        days.append((f"{both}[0-9]{{2}}", tuple(f"{order}%y" for order in orders), True))
    clocks = [
        ("[0-9]{1,2}:[0-9]{2}", "%H:%M"),
        ("[0-9]{1,2}:[0-9]{2}:[0-9]{2}", "%H:%M:%S"),
        ("[0-9]{1,2}:[0-9]{2}:[0-9]{2}[.][0-9]{1,6}", "%H:%M:%S.%f"),
        ("[0-9]{1,2}:[0-9]{2} [AaPp][Mm]", "%I:%M %p"),
        ("[0-9]{1,2}:[0-9]{2}:[0-9]{2} [AaPp][Mm]", "%I:%M:%S %p"),
        ("[0-9]{1,2}[AaPp][Mm]", "%I%p"),
    ]
    for shape, formats, short in days:
        yield TimeForm(shape, formats, has_time=False, short_year=short)
        for clock, directive in clocks:
            yield TimeForm(
                f"{shape} {clock}", tuple(f"{f} {directive}" for f in formats), has_time=True, short_year=short
            )


FORMS = tuple(_forms())
_COMPILED = tuple((form, re.compile(form.shape)) for form in FORMS)


@dataclass(slots=True)
class FormFacts:
    """How many texts had the form; of a form of two orders, the largest number in each of the two places."""

    count: int = 0
    largest: list[int] = field(default_factory=lambda: [0, 0])


@dataclass(slots=True)
class TimeFacts:
    """Which forms a column's texts have. `counts` only knows forms that some sampled text had."""

    counts: dict[TimeForm, FormFacts] = field(default_factory=dict[TimeForm, FormFacts])

    def add(self, texts: pa.StringArray, counts: pa.Int64Array) -> None:
        """Take different texts of a block, with how often each stands there."""
        for form in self._live(texts):
            fits = pc.match_substring_regex(texts, f"^(?:{form.shape})$")
            facts = self.counts.setdefault(form, FormFacts())
            facts.count += pc.sum(counts.filter(fits)).as_py() or 0
            if len(form.formats) == 2:
                parts = pc.extract_regex(texts.filter(fits), f"^(?:{form.shape})$")
                for place, name in enumerate("ab"):
                    found = pc.max(pc.cast(pc.struct_field(parts, name), pa.int64())).as_py()
                    facts.largest[place] = max(facts.largest[place], found or 0)

    def _live(self, texts: pa.StringArray) -> list[TimeForm]:
        """The forms worth counting: those seen before, and those of a sample of these texts."""
        live = dict.fromkeys(self.counts)
        step = max(1, len(texts) // _SAMPLE)
        for text in texts.take(pa.array(range(0, len(texts), step))).to_pylist():
            if _SHORTEST <= len(text) <= _LONGEST and any(c.isdigit() for c in text):
                live.update({form: None for form, shape in _COMPILED if form not in live and shape.fullmatch(text)})
        return list(live)
