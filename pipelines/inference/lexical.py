"""What the texts of a column look like as numbers, words and times: counts and extremes, never the texts themselves.

Facts grow by block and stay small: memory does not depend on the number of rows. Each block's different texts are looked
at once, however often they stand there.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.inference.time_forms import TimeFacts

__all__ = ["Example", "LexicalFacts", "NumberFacts"]

NULL_WORDS = frozenset(
    ["na", "n/a", "n.a.", "#n/a", "#na", "nan", "null", "none", "nil", "-", "--", "---", "?", ".", "\\n", "(null)",
     "<null>", "(none)", "missing", "unknown"]
)  # fmt: skip
"""Words (in lower case) that often mean null, and sometimes a country or a surname: never taken for null unless told."""
_WORDS = pa.array(sorted(NULL_WORDS), pa.string())
_NUMBER = r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$"
_MAX_DISTINCT, _MAX_DISTINCT_BYTES = 1_000, 100
_DOUBLE_DIGITS = 15
"""Every decimal of at most fifteen significant digits comes back from a double as it was."""
_INT64_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Example:
    """A text of the column and the line it first stood on."""

    text: str
    line: int
    file: str


@dataclass(slots=True)
class NumberFacts:
    """The numbers among a column's texts. Digits are counted before and after the point."""

    whole: int = 0
    pointed: int = 0
    exponents: int = 0
    leading_zeros: int = 0
    plus_signs: int = 0
    lowest: int | None = None
    highest: int | None = None
    digits_before: int = 0
    digits_after: int = 0
    fewest_after: int | None = None
    significant: int = 0
    not_exact_in_double: int = 0
    low_number: float | None = None
    high_number: float | None = None

    @property
    def count(self) -> int:
        """All numbers, however they are written."""
        return self.whole + self.pointed + self.exponents + self.leading_zeros + self.plus_signs

    def add(self, texts: pa.StringArray, counts: pa.Int64Array) -> None:
        """Take different numbers of a block, with how often each stands there."""
        exponent = pc.match_substring_regex(texts, "[eE]")
        zeros = pc.match_substring_regex(texts, "^[+-]?0[0-9]")
        plus = pc.starts_with(texts, "+")
        # "-0" and "-0.0" are numbers with a point for our purpose: an integer would lose the sign.
        point = pc.match_substring_regex(texts, "[.]|^-0$")
        odd = pc.or_(pc.or_(exponent, zeros), plus)
        whole, pointed = pc.invert(pc.or_(odd, point)), pc.and_(pc.invert(odd), point)
        self.exponents += _total(counts, exponent)
        self.leading_zeros += _total(counts, pc.and_not(zeros, exponent))
        self.plus_signs += _total(counts, pc.and_not(plus, pc.or_(exponent, zeros)))
        self.whole += _total(counts, whole)
        self.pointed += _total(counts, pointed)
        self._bounds(texts.filter(whole))
        self._inexact(texts.filter(whole))
        self._digits(texts.filter(pc.or_(whole, pointed)))
        self._doubles(texts.filter(pc.or_(pointed, exponent)))

    def _bounds(self, texts: pa.StringArray) -> None:
        if not len(texts):
            return
        lengths = pc.binary_length(pc.utf8_ltrim(texts, "-"))
        small = pc.less_equal(lengths, _INT64_DIGITS)
        bounds = pc.min_max(texts.filter(small).cast(pa.int64()))
        found = [bounds["min"].as_py(), bounds["max"].as_py()]
        # Beyond int64 Python reads; a number of a million digits it refuses, and so will every type but text.
        long = pc.and_(pc.invert(small), pc.less_equal(lengths, 400))
        found += [int(text) for text in texts.filter(long).to_pylist()]
        for number in (n for n in found if n is not None):
            self.lowest = number if self.lowest is None else min(self.lowest, number)
            self.highest = number if self.highest is None else max(self.highest, number)

    def _digits(self, texts: pa.StringArray) -> None:
        if not len(texts):
            return
        plain = pc.utf8_ltrim(texts, "-")
        place = pc.find_substring(plain, ".")
        length = pc.binary_length(plain)
        before = pc.if_else(pc.less(place, 0), length, place)
        after = pc.if_else(pc.less(place, 0), 0, pc.subtract(pc.subtract(length, place), 1))
        fewest = pc.min(after.filter(pc.greater_equal(place, 0))).as_py()
        self.digits_before = max(self.digits_before, pc.max(before).as_py())
        self.digits_after = max(self.digits_after, pc.max(after).as_py())
        if fewest is not None:
            self.fewest_after = fewest if self.fewest_after is None else min(self.fewest_after, fewest)

    def _inexact(self, texts: pa.StringArray) -> None:
        """Count the whole numbers a double would change, should the column's other numbers ask for one."""
        lengths = pc.binary_length(pc.utf8_ltrim(texts, "-"))
        held = texts.filter(pc.and_(pc.greater(lengths, _DOUBLE_DIGITS), pc.less_equal(lengths, _INT64_DIGITS)))
        if len(held):
            numbers = held.cast(pa.int64())
            back = numbers.cast(pa.float64(), safe=False).cast(pa.int64(), safe=False)
            self.not_exact_in_double += pc.sum(pc.not_equal(numbers, back)).as_py()
        longer = texts.filter(pc.greater(lengths, _INT64_DIGITS)).to_pylist()
        self.not_exact_in_double += sum(not _survives(text) for text in longer)

    def _doubles(self, texts: pa.StringArray) -> None:
        """Count what a double would change, and find the extremes."""
        if not len(texts):
            return
        values = texts.cast(pa.float64())
        bounds = pc.min_max(values)
        low, high = bounds["min"].as_py(), bounds["max"].as_py()
        self.low_number = low if self.low_number is None else min(self.low_number, low)
        self.high_number = high if self.high_number is None else max(self.high_number, high)
        digits = pc.binary_length(pc.replace_substring_regex(texts, "^-?[0.]*|[.]|[eE].*$", ""))
        self.significant = max(self.significant, pc.max(digits).as_py())
        doubtful = pc.or_(pc.greater(digits, _DOUBLE_DIGITS), pc.match_substring_regex(texts, "[eE]"))
        self.not_exact_in_double += sum(not _survives(text) for text in texts.filter(doubtful).to_pylist())


def _survives(text: str) -> bool:
    """Whether a double is this very number, exactly or written as short as it can be."""
    mantissa, _, exponent = text.lower().partition("e")
    if len(mantissa) > 400 or len(exponent) > 5:
        return False
    number = float(text)
    if number in (float("inf"), float("-inf")):
        return False
    return Decimal(text) in (Decimal(number), Decimal(repr(number)))


@dataclass(slots=True)
class LexicalFacts:
    """All texts of a column. `words` counts those that may mean null; `distinct` is None beyond a thousand different ones."""

    texts: int = 0
    blank: int = 0
    longest: int = 0
    words: Counter[str] = field(default_factory=Counter[str])
    numbers: NumberFacts = field(default_factory=NumberFacts)
    times: TimeFacts = field(default_factory=TimeFacts)
    distinct: Counter[str] | None = field(default_factory=Counter[str])
    not_number: Example | None = None

    @property
    def spoken(self) -> int:
        """Texts that are neither blank nor a word that may mean null."""
        return self.texts - self.blank - self.words.total()

    def add(self, texts: pa.StringArray, lines: pa.Int64Array, file: str) -> None:
        """Take one block of texts; null means there is none."""
        found = pc.value_counts(texts.drop_null())
        values, counts = found.field("values"), found.field("counts")
        if not len(values):
            return
        self.texts += pc.sum(counts).as_py()
        self.longest = max(self.longest, pc.max(pc.utf8_length(values)).as_py())
        self._remember(values, counts)
        values, counts = self._without_words(values, counts)
        if not len(values):
            return
        numeric = pc.match_substring_regex(values, _NUMBER)
        self.numbers.add(values.filter(numeric), counts.filter(numeric))
        others = values.filter(pc.invert(numeric))
        if len(others) and self.not_number is None:
            self.not_number = Example(others[0].as_py(), lines[pc.index(texts, others[0]).as_py()].as_py(), file)
        self.times.add(values, counts)

    def _without_words(self, values: pa.StringArray, counts: pa.Int64Array) -> tuple[pa.StringArray, pa.Int64Array]:
        mask = pc.or_(pc.is_in(pc.ascii_lower(values), value_set=_WORDS), pc.utf8_is_space(values))
        mask = pc.or_(mask, pc.equal(values, ""))
        for text, count in zip(values.filter(mask).to_pylist(), counts.filter(mask).to_pylist(), strict=True):
            if text:
                self.words[text] += count
            else:
                self.blank += count
        kept = pc.invert(mask)
        return values.filter(kept), counts.filter(kept)

    def _remember(self, values: pa.StringArray, counts: pa.Int64Array) -> None:
        if self.distinct is None:
            return
        if len(values) > _MAX_DISTINCT or pc.max(pc.binary_length(values)).as_py() > _MAX_DISTINCT_BYTES:
            self.distinct = None
            return
        self.distinct.update(dict(zip(values.to_pylist(), counts.to_pylist(), strict=True)))
        if len(self.distinct) > _MAX_DISTINCT:
            self.distinct = None


def _total(counts: pa.Int64Array, mask: pa.BooleanArray) -> int:
    return pc.sum(counts.filter(mask)).as_py() or 0
