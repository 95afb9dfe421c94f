"""What bad values of a column have in common: counted while a file is read, told in a sentence afterwards.

Every number is of values that are no value of the column's type; what is said of them is what a regular expression found
in each of them.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from collections import Counter
from collections.abc import Collection, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.model import Column, ColumnType
from pipelines.reading.collector import shown

__all__ = ["BadValues"]

_NULL_WORDS = (
    "NA", "N/A", "n/a", "na", "#N/A", "NULL", "null", "Null", "NONE", "None", "none", "nil", "NaN", "nan", "NAN",
    "-", "--", "---", "?", ".", "..", "...", "*", "\\N", "(null)", "<null>", "#NULL!", "missing", "unknown", "Unknown",
    "9999-99-99", "0000-00-00", "0000-00-00 00:00:00", "00/00/0000",
)  # fmt: skip
_MAX_DISTINCT = 8
_OPEN_UNTIL = 50_000
_LOOKED_AT_ONCE, _BYTES_A_ROW = 1_000, 1_000
"""Values looked at together; one of a thousand bytes counts as two."""
_ISO8601 = "iso8601"
_NUMERIC = (ColumnType.INT, ColumnType.BIGINT, ColumnType.FLOAT, ColumnType.DOUBLE, ColumnType.DECIMAL)
_ONE = {"have": "has", "carry": "carries", "are": "is", "stand": "stands", "end": "ends", "look": "looks"}
_CURRENCIES = "[$€£¥₹]"

_NUMBERS = (
    (r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$", "have thousands separators", "send plain digits"),
    (r"^[+-]?([0-9]+|[0-9]{1,3}([. ][0-9]{3})+),([0-9]{1,2}|[0-9]{4,})$", "have a decimal comma", "send a point"),
    (rf"^[+-]?\s*({_CURRENCIES}|[A-Z]{{3}}\s?)\s*[0-9]|[0-9]\s*({_CURRENCIES}|[A-Z]{{3}})$", "carry a currency", "send the number alone"),
    (r"^[+-]?[0-9.,]+\s*%$", "are written with a percent sign", "send the number alone"),
    (r"^\([0-9.,]+\)$", "stand in brackets, as accountants write negative numbers", "send a minus sign"),
    (r"^[0-9.,]+[-]$", "have the minus sign behind", "send it in front"),
    (r"^\s+[+-]?[0-9.]+\s*$|^[+-]?[0-9.]+\s+$", "have spaces around", "send no spaces"),
    (r"^[+-]?[0-9.]+\s*[A-Za-zµ°²³/]+$", "carry a unit", "send the number alone"),
)  # fmt: skip
_FRACTIONS = (
    (r"^[+-]?[0-9]+\.0*$", "end in .0", "send whole numbers, or declare double or decimal"),
    (r"^[+-]?[0-9]*\.[0-9]+$", "have a fraction", "declare double or decimal"),
)
_DAY, _MONTH, _YEAR = "(0?[1-9]|[12][0-9]|3[01])", "(0?[1-9]|1[0-2])", "[12][0-9]{3}"
_NAMED = "(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DATES = (
    ("%Y-%m-%d", f"{_YEAR}-{_MONTH}-{_DAY}"),
    ("%d/%m/%Y", f"{_DAY}/{_MONTH}/{_YEAR}"),
    ("%m/%d/%Y", f"{_MONTH}/{_DAY}/{_YEAR}"),
    ("%d.%m.%Y", rf"{_DAY}\.{_MONTH}\.{_YEAR}"),
    ("%d-%m-%Y", f"{_DAY}-{_MONTH}-{_YEAR}"),
    ("%m-%d-%Y", f"{_MONTH}-{_DAY}-{_YEAR}"),
    ("%Y/%m/%d", f"{_YEAR}/{_MONTH}/{_DAY}"),
    ("%Y%m%d", f"{_YEAR}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])"),
    ("%d/%m/%y", f"{_DAY}/{_MONTH}/[0-9]{{2}}"),
    ("%m/%d/%y", f"{_MONTH}/{_DAY}/[0-9]{{2}}"),
    ("%d-%b-%Y", f"{_DAY}-{_NAMED}-{_YEAR}"),
    ("%d %b %Y", f"{_DAY} {_NAMED} {_YEAR}"),
    ("%b %d, %Y", f"{_NAMED} {_DAY}, {_YEAR}"),
)
_HOUR, _MINUTE = "([01]?[0-9]|2[0-3])", "[0-5][0-9]"
_TIMES = (
    ("%H:%M:%S", f"{_HOUR}:{_MINUTE}:{_MINUTE}"),
    ("%H:%M", f"{_HOUR}:{_MINUTE}"),
    ("%I:%M:%S %p", f"(0?[1-9]|1[0-2]):{_MINUTE}:{_MINUTE} [AaPp][Mm]"),
    ("%I:%M %p", f"(0?[1-9]|1[0-2]):{_MINUTE} [AaPp][Mm]"),
)
_Hypothesis = tuple[str, str, str]
"""A regular expression, what it says of values that match it, what to do."""


def _of_dates(declared: Collection[str]) -> tuple[_Hypothesis, ...]:
    known = {"%Y-%m-%d" if name == _ISO8601 else name for name in declared}
    return (
        *(
            (f"^{form}$", f"look like {name}", f'declare format: "{name}"')
            for name, form in _DATES
            if name not in known
        ),
        (
            rf"^{_YEAR}-{_MONTH}-{_DAY}[ T]{_HOUR}:",
            "have a time behind the date",
            "declare timestamp, or send the date alone",
        ),
        ("^[34][0-9]{4}$", "look like day numbers of a spreadsheet", "save the column as dates"),
    )


def _of_timestamps(declared: Collection[str], zone: str | None) -> tuple[_Hypothesis, ...]:
    a_zone = "" if zone else " and a zone"
    forms = [
        (f"^{day} {time}$", f"look like {day_name} {time_name}", f'declare format: "{day_name} {time_name}"{a_zone}')
        for day_name, day in _DATES
        for time_name, time in _TIMES
        if f"{day_name} {time_name}" not in declared and (day_name != "%Y-%m-%d" or "%p" in time_name)
    ]
    iso = rf"^{_YEAR}-{_MONTH}-{_DAY}[ T]{_HOUR}:{_MINUTE}(:{_MINUTE}(\.[0-9]+)?)?"
    return (
        *(
            ((f"{iso}(Z|[+-][0-9:]+)?$", "look like ISO 8601", "declare format: iso8601"),)
            if _ISO8601 not in declared
            else ()
        ),
        *(((f"{iso}$", "have no offset from UTC", "declare the zone they are in"),) if zone is None else ()),
        (f"^{_YEAR}-[01][0-9]-[0-3][0-9]$", "have no time", "declare date, or send the time"),
        *forms,
        *(
            (f"^{form}$", f"look like {name}, without a time", "declare date with that format")
            for name, form in _DATES[1:]
        ),
        *(
            (("^1[0-9]{9}$", "look like seconds since 1970", "declare format: epoch_s"),)
            if "epoch_s" not in declared
            else ()
        ),
        *(
            (("^1[0-9]{12}$", "look like milliseconds since 1970", "declare format: epoch_ms"),)
            if "epoch_ms" not in declared
            else ()
        ),
    )


def _hypotheses(column: Column) -> tuple[_Hypothesis, ...]:
    match column.kind:
        case ColumnType.INT | ColumnType.BIGINT:
            return (*_NUMBERS, *_FRACTIONS)
        case ColumnType.FLOAT | ColumnType.DOUBLE | ColumnType.DECIMAL:
            return _NUMBERS
        case ColumnType.DATE:
            return _of_dates(column.formats)
        case ColumnType.TIMESTAMP:
            return _of_timestamps(column.formats, column.zone)
        case _:
            return ()


class BadValues:
    """The values of one column that are no values of its type."""

    def __init__(self, name: str, column: Column) -> None:
        """Begin with none."""
        self._name = name
        self._column = column
        self._hypotheses = _hypotheses(column)
        self._fits: Counter[int] = Counter()
        self._words: Counter[str] = Counter()
        self._distinct: Counter[str] = Counter()
        self._quoted_numbers = 0
        self._unlooked: list[pa.Array] = []
        self._unlooked_size = 0
        self.count = 0

    def add(self, texts: pa.Array) -> None:
        """Count some bad values, given as text."""
        self._unlooked.append(texts)
        self._unlooked_size += len(texts) + texts.nbytes // _BYTES_A_ROW
        if self._unlooked_size >= _LOOKED_AT_ONCE:
            self._look()

    def _look(self) -> None:
        """Look at what has come; in portions, because each hypothesis is a call for a whole array."""
        if not self._unlooked:
            return
        texts = pa.concat_arrays(self._unlooked)
        self._unlooked, self._unlooked_size = [], 0
        self.count += len(texts)
        words = texts.filter(pc.is_in(texts, pa.array(_NULL_WORDS)))
        for pair in pc.value_counts(words).to_pylist():
            self._words[pair["values"]] += pair["counts"]
        # What explained none of so many explains none: the others are counted on, exactly.
        open_ones = range(len(self._hypotheses)) if self.count <= _OPEN_UNTIL else list(+self._fits)
        for index in open_ones:
            self._fits[index] += pc.sum(pc.match_substring_regex(texts, self._hypotheses[index][0])).as_py() or 0
        if self._column.kind is ColumnType.BOOLEAN and len(self._distinct) <= _MAX_DISTINCT:
            for pair in pc.value_counts(texts.slice(0, 100_000)).slice(0, _MAX_DISTINCT + 1).to_pylist():
                self._distinct[pair["values"]] += pair["counts"]

    def add_json(self, found: Iterable[str]) -> None:
        """Count JSON values of another kind than the column's, as they are written."""
        for written in found:
            self.count += 1
            self._quoted_numbers += written[:1] == '"' and self._column.kind in _NUMERIC

    def sentences(self, rows: int, values: int) -> list[tuple[int, str]]:
        """What they have in common, each with the number of values it explains.

        `rows` is how many the file has, `values` how many of them have a value in this column.
        """
        self._look()
        said = [(n, self._null_word(word, n, rows)) for word, n in self._words.most_common(2)]
        best = max(range(len(self._hypotheses)), key=lambda i: (self._fits[i], -i), default=None)
        if best is not None and (fits := self._fits[best]):
            _, meaning, remedy = self._hypotheses[best]
            twin = next(
                (i for i in range(best + 1, len(self._hypotheses)) if self._fits[i] == fits and meaning.startswith("look like %")
                 and self._hypotheses[i][1].startswith("look like %")), None
            )  # fmt: skip
            if twin is not None:
                meaning += f" and {self._hypotheses[twin][1].removeprefix('look like ')} alike"
                remedy = "declare the format that is meant"
            said.append((fits, f"{self._share(fits, values, meaning)}: {remedy}."))
        if self._quoted_numbers:
            n = self._quoted_numbers
            said.append(
                (n, f"{self._share(n, values, 'stand in quotes, as text does')}: send them without, or declare string.")
            )
        if 0 < len(self._distinct) <= _MAX_DISTINCT and not self._words:
            known = sum(self._distinct.values())
            words = " and ".join(
                f"{shown(w)} ({n:,} {'time' if n == 1 else 'times'})" for w, n in self._distinct.most_common(4)
            )
            if len(self._distinct) <= 4 and known == self.count:
                which = f"{self._name} is" if known >= values else f"In {known:,} of {values:,} values, {self._name} is"
                said.append((known, f"{which} written as {words}: declare true_values and false_values."))
        return said

    def _share(self, fits: int, values: int, meaning: str) -> str:
        if self.count == 1:
            verb, _, rest = meaning.partition(" ")
            return f"The only bad value of {self._name} {_ONE[verb]} {rest}"
        which = f"{fits:,} of {self.count:,} bad values" if fits < self.count else f"All {fits:,} bad values"
        if fits == values:
            which = f"All {fits:,} values"
        return f"{which} of {self._name} {meaning}"

    def _null_word(self, word: str, count: int, rows: int) -> str:
        return f"{shown(word)} stands in {count:,} of {rows:,} rows of {self._name}: if it means null, add it to null_values."
