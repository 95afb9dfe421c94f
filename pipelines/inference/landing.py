"""Where the files would land: a key pattern made of their names, and the columns whose values the names hold. Pure.

Only what every name has becomes a field: a date in one form, a month, a year. A date whose order of day and month the names do not
settle stays a wildcard.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import takewhile

from pipelines.contracts.key_pattern import KeyPattern, KeyPatternError
from pipelines.contracts.landing_checks import RESERVED_NAMES
from pipelines.contracts.names import plain_name
from pipelines.contracts.system_tables import SYSTEM_TABLES
from pipelines.errors import ConfigurationError
from pipelines.intake.routing import LANDING_PREFIX

__all__ = ["KeyColumn", "Landing", "dataset_name", "landing_of", "landing_told"]

_DATA_ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")
_ENDINGS = re.compile(r"(?i)(?:\.(?:csv|tsv|txt|json|jsonl|ndjson|gz|bz2|xz|zst|zip))+$")
_GENERIC = frozenset(["", "data", "file", "files", "part", "export", "dump", "csv", "json", "input", "tmp"])
_MARK = "\0"
_INTS = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """A column whose value comes from the key."""

    name: str
    type: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Landing:
    """The key pattern; the key of each file, in their order; the key's columns, and the first day where the key tells days."""

    pattern: KeyPattern
    keys: tuple[str, ...]
    columns: tuple[KeyColumn, ...] = ()
    day: str | None = None
    start: date | None = None
    partition: str | None = None
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _DateForm:
    name: str
    shape: re.Pattern[str]
    formats: Callable[[re.Match[str]], tuple[str, ...]]


_DATES = (
    _DateForm(
        "file_date",
        re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}([-_.]?)[0-9]{2}\1[0-9]{2}(?![0-9])"),
        lambda m: (f"%Y{m[1]}%m{m[1]}%d",),
    ),
    _DateForm(
        "file_date",
        re.compile(r"(?<![0-9])[0-9]{2}([-_.])[0-9]{2}\1(?:19|20)[0-9]{2}(?![0-9])"),
        lambda m: (f"%m{m[1]}%d{m[1]}%Y", f"%d{m[1]}%m{m[1]}%Y"),
    ),
    _DateForm(
        "file_month",
        re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}([-_])[0-9]{2}(?![0-9]|[-_.][0-9])"),
        lambda m: (f"%Y{m[1]}%m",),
    ),
)
_YEAR = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}(?![0-9])")


def dataset_name(paths: Sequence[Sequence[str]]) -> str:
    """A name for the dataset: what the files' names have in common beside digits, else the name of their folder."""
    stems = {_words(_ENDINGS.sub("", parts[-1])) for parts in paths}
    stem = stems.pop() if len(stems) == 1 else ""
    shared = [
        parts[0] for parts in takewhile(lambda at: len(set(at)) == 1, zip(*(p[:-1] for p in paths), strict=False))
    ]
    folders = [plain_name(part) for part in reversed(shared)]
    candidates = [stem or _shared_words(paths), *folders]
    name = next((c for c in candidates if c not in _GENERIC and len(c) > 1), "dataset")[:80].rstrip("_")
    taken = name in RESERVED_NAMES or name in SYSTEM_TABLES or name.endswith("__rejected")
    return f"{name}_files" if taken else name


def _shared_words(paths: Sequence[Sequence[str]]) -> str:
    """`orders` of `orders-a.csv` and `orders-b.csv`: what all names begin with, up to a mark between words."""
    start = _shared_start([parts[-1] for parts in paths])
    found = re.match(r"(.*[^\W_])[\W_]", start)
    return _words(found[1]) if found else ""


def _words(stem: str) -> str:
    return re.sub(r"(?:_|^)(?:v?[0-9]+|c_[0-9]+)(?=_|$)", "", plain_name(re.sub(r"[0-9]+", "_", stem))).strip("_")


def landing_of(name: str, paths: Sequence[Sequence[str]], taken: Sequence[str]) -> Landing:
    """The landing that the files' names suggest. `taken` are column names of the files. Two files never share a key.

    Raises ConfigurationError when their names do not tell the files apart.
    """
    names = _relative_names(paths)
    found = _dated(names)
    notes: list[str] = []
    if isinstance(found, str):
        notes.append(found)
        found = None
    prefix = f"{LANDING_PREFIX}{name}/"
    keys = tuple(prefix + n for n in names)
    if found is not None:
        wanted, form, spans, days = found
        column = _free(wanted, taken)
        marked = [n[: s.start()] + _MARK + n[s.end() :] for n, s in zip(names, spans, strict=True)]
        text = _with_any_compression(_general(marked)).replace(
            _MARK, f"{{{column}:{form}}}" if form else f"{{{column}}}"
        )
        if (pattern := _pattern(prefix + text, keys)) is not None:
            first, last = min(days), max(days)
            shape = "%Y" if form is None else form
            evidence = f"in the files' names: {first.strftime(shape)} to {last.strftime(shape)}"
            said = KeyColumn(column, "int" if form is None else "date", evidence)
            is_day = form is not None
            return Landing(
                pattern, keys, (said,), column if is_day else None, first if is_day else None, column, tuple(notes)
            )
    general = _general(names) if len(names) > 1 else "*" + _ending(names[0])
    pattern = _pattern(prefix + _with_any_compression(general), keys) or KeyPattern.parse(
        prefix + "*/" * names[0].count("/") + "*"
    )
    return Landing(pattern, keys, notes=tuple(notes))


def landing_told(told: str, paths: Sequence[Sequence[str]]) -> Landing:
    """The landing for a pattern a person gave. Raises ConfigurationError when it is none, or a file's path does not fit it."""
    try:
        pattern = KeyPattern.parse(told)
    except KeyPatternError as error:
        raise ConfigurationError(f"--key {told!r}: {error}") from None
    keys = tuple(_told_key(pattern, parts) for parts in paths)
    texts = [pattern.match(key) or {} for key in keys]
    columns: list[KeyColumn] = []
    day: str | None = None
    for name, form in pattern.fields.items():
        values = [t[name] for t in texts]
        if form is None:
            kind = "bigint" if all(_INTS.fullmatch(v) for v in values) else "string"
        else:
            kind = "timestamp" if re.search("%[HMSf]", form) else "date"
        if kind == "date" and day is None:
            day = name
        columns.append(KeyColumn(name, kind, f"from the key: {min(values)} to {max(values)}"))
    start: date | None = None
    if day is not None:
        try:
            start = min(pattern.parse_time(day, t[day]).date() for t in texts)
        except ValueError as error:
            raise ConfigurationError(f"--key {told!r}: {error}") from None
    return Landing(pattern, keys, tuple(columns), day, start, day)


def _told_key(pattern: KeyPattern, parts: Sequence[str]) -> str:
    for length in range(1, len(parts) + 1):
        for folder in (pattern.prefix, ""):
            key = folder + "/".join(parts[-length:])
            if pattern.match(key) is not None:
                return key
    raise ConfigurationError(
        f"--key {pattern.text!r} does not fit {'/'.join(parts[-3:])}: its last part must be the file's name"
    )


def _relative_names(paths: Sequence[Sequence[str]]) -> list[str]:
    """The files' names, with as many of their folders as tell them apart."""
    for length in range(1, min(len(parts) for parts in paths) + 1):
        names = ["/".join(parts[-length:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    raise ConfigurationError("a file is given twice, or files cannot be told apart by their paths: give each once")


_Dated = tuple[str, str | None, list[re.Match[str]], list[date]]


def _dated(names: Sequence[str]) -> "_Dated | str | None":
    """A date that every name has, in one form; a note where its order is open."""
    for dates in _DATES:
        spans = [m for n in names if (m := dates.shape.search(n))]
        if len(spans) < len(names) or len({dates.formats(m) for m in spans}) > 1:
            continue
        read = [(form, days) for form in dates.formats(spans[0]) if (days := _days(form, spans)) is not None]
        if len(read) > 1:
            both = " and ".join(form for form, _ in read)
            return f"the names hold a date, but {both} fit them all: say which with --key"
        if read:
            return dates.name, read[0][0], spans, read[0][1]
    years = [m for n in names if (m := _YEAR.search(n))]
    if len(years) == len(names):
        return "file_year", None, years, [date(int(m[0]), 1, 1) for m in years]
    return None


def _days(form: str, spans: Sequence[re.Match[str]]) -> list[date] | None:
    try:
        return [datetime.strptime(m[0], form).date() for m in spans]  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return None


def _general(names: Sequence[str]) -> str:
    """One pattern for all names: what they share as it stands, `*` for the rest, segment by segment."""
    columns = list(zip(*(n.split("/") for n in names), strict=True))
    return "/".join(_MARK.join(map(_share, zip(*(s.split(_MARK) for s in column), strict=True))) for column in columns)


def _share(texts: tuple[str, ...]) -> str:
    if len(set(texts)) == 1:
        return texts[0]
    head = _shared_start(texts)
    tail = _shared_start([t[len(head) :][::-1] for t in texts])[::-1]
    return f"{head}*{tail}"


def _shared_start(texts: Sequence[str]) -> str:
    return "".join(letters[0] for letters in takewhile(lambda at: len(set(at)) == 1, zip(*texts, strict=False)))


def _ending(name: str) -> str:
    found = _ENDINGS.search(name.rsplit("/", 1)[-1])
    return found[0] if found else ""


def _with_any_compression(text: str) -> str:
    """`.csv` as `.csv*`: a gzipped file is the same dataset's."""
    return f"{text}*" if text.lower().endswith(_DATA_ENDINGS) else text


def _pattern(text: str, keys: Sequence[str]) -> KeyPattern | None:
    """The pattern, if it is one and every key fits it."""
    try:
        pattern = KeyPattern.parse(text)
    except KeyPatternError:
        return None
    return pattern if all(pattern.match(key) is not None for key in keys) else None


def _free(name: str, taken: Sequence[str]) -> str:
    candidates = [name, *(f"{name}_{n}" for n in range(2, len(taken) + 3))]
    return next(c for c in candidates if c not in taken)
