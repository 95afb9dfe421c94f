"""Which type is safe for a column, from its facts: a type that says exactly what every text says, or text.

Nothing is guessed: what the values do not settle becomes a string, with a note that says what else it could be and what would have
to be told. The note and the evidence go into the dataset file as comments.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipelines.inference.columns import ColumnFacts
from pipelines.inference.lexical import LexicalFacts, NumberFacts
from pipelines.inference.time_forms import FormFacts, TimeForm
from pipelines.reading.collector import shown

__all__ = ["Choice", "choose", "counted", "text_choice"]

_INT_HEADROOM = 10**8
_DECIMAL_DIGITS = 38
_WHOLE_DIGITS = 9
"""Digits before the point that a decimal has at least; three more than were seen, otherwise."""
_MOST_DECIMALS = 4
_IDENTIFIER = re.compile(r"(?:.*_)?(?:id|ids|key|no|nr|num|number|ref)$|.*[a-z]id$")
_CODE = re.compile(r"(?:.*_)?(?:zip|zip_?code|post_?code|postal(?:_code)?|phone|telephone|mobile|fax|iban|bic|sku|ean|gtin|isbn|issn|ssn|vat_id|tax_id)(?:_.*)?$")  # fmt: skip
_MONEY = re.compile(
    r"(?:.*_)?(?:price|prices|amount|cost|costs|fee|fees|fare|total|subtotal|tax|vat|balance|revenue|salary|wage|wages|"
    r"payment|paid|due|discount|charge|charges|credit|debit|net|gross|premium|budget|turnover|usd|eur|gbp|chf|jpy)$|"
    r".*(?:price|amount|cost|salary|revenue)$"
)
_DAY = re.compile(r"(?:.*_)?(?:date|day|dt|datum)(?:_.*)?$|.*date$")
_MOMENT = re.compile(r"(?:.*_)?(?:at|time|timestamp|ts|epoch)$|.*(?:time|timestamp)$")
_EPOCH_S, _EPOCH_MS = (631_152_000, 4_102_444_800), (631_152_000_000, 4_102_444_800_000)
"""The years 1990 to 2100, in seconds and milliseconds since 1970."""
_BOOLEANS = frozenset(["true", "True", "TRUE", "false", "False", "FALSE"])
_YES_NO = ({"y", "n"}, {"yes", "no"}, {"t", "f"}, {"j", "n"}, {"on", "off"})


@dataclass(frozen=True, slots=True)
class Choice:
    """A column's type with its other keys in the YAML, the evidence for it, and notes on what a person should decide."""

    type: str
    evidence: str
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: tuple[str, ...] = ()


def choose(column: ColumnFacts, *, is_json: bool, zone: str | None) -> Choice:
    """The safe type of a column. `zone` is that of times without an offset, where it was told."""
    choice = _of_json(column, zone) if is_json else _of_text(column, zone)
    return replace(choice, evidence=f"{_seen(column, choice)}; {choice.evidence}" if choice.evidence else _seen(column, choice))  # fmt: skip


def text_choice(choice: Choice, why: str, *, is_json: bool) -> Choice:
    """The choice for a column whose values turned out not to have the type chosen for it."""
    return Choice("json" if is_json else "string", choice.evidence, {}, (*choice.notes, f"not {choice.type}: {why}"))


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _seen(column: ColumnFacts, choice: Choice) -> str:
    facts = column.lexical
    is_text = choice.type in ("string", "json")
    nulls = column.nulls + (0 if is_text else facts.blank)
    said = counted(column.rows - nulls, "value") + (f", {nulls:,} null" if nulls else ", none null")
    if is_text and facts.blank:
        said += f", {facts.blank:,} blank"
    return said


def _of_json(column: ColumnFacts, zone: str | None) -> Choice:
    kinds = [kind for kind, count in column.kinds.most_common() if count]
    if not kinds:
        return Choice("json", "no value in any record: json holds whatever will come")
    if len(kinds) > 1:
        said = ", ".join(f"{column.kinds[kind]:,} {kind}" for kind in kinds)
        return Choice("json", f"values of several kinds ({said}), kept as JSON text")
    match kinds[0]:
        case "boolean":
            return Choice("boolean", "true and false only")
        case "number":
            choice = _number(column.name, column.lexical.numbers, is_json=True)
            # A JSON number has no other way to be kept as it is written than as JSON.
            return replace(choice, type="json") if choice.type == "string" else choice
        case "text":
            return _json_text(column, zone)
        case kind:
            return Choice("json", f"every value is an {kind}, kept as JSON text", {}, _nested(column))


def _nested(column: ColumnFacts) -> tuple[str, ...]:
    said = column.nested.suggestion()
    if said is None:
        return ()
    where = "all of them" if column.nested.is_all else f"the first {column.nested.documents:,}"
    return (f'may be {{type: "{said}"}}, which fits {where}',)


def _json_text(column: ColumnFacts, zone: str | None) -> Choice:
    if (
        not (column.lexical.blank or column.lexical.words)
        and (choice := _time(column.lexical, zone))
        and choice.type != "int"
    ):
        return choice
    numbers = column.lexical.numbers.count
    notes = ("every text is a number; JSON says text, so text it stays",) if numbers == column.lexical.texts else ()
    return Choice("string", _lengths(column.lexical), {}, notes)


def _of_text(column: ColumnFacts, zone: str | None) -> Choice:
    facts = column.lexical
    if not facts.spoken:
        return _without_words(facts)
    choice = _of_values(column.name, facts, zone)
    if facts.words and choice.type != "string":
        words = [word for word, _ in facts.words.most_common(5)]
        told = " ".join(f"--null {_quoted(word)}" for word in words)
        said = ", ".join(f"{facts.words[word]:,} of {facts.texts:,} values are {shown(word)}" for word in words)
        note = f"{said}; all others would be {choice.type}. If that means null, run again with {told}"
        return Choice("string", _lengths(facts), {}, (*choice.notes, note))
    if facts.words:
        said = ", ".join(f"{count:,} times {shown(word)}" for word, count in facts.words.most_common(3))
        return replace(choice, notes=(*choice.notes, f"{said}: if that means null, run again with --null; text here"))
    return choice


def _quoted(word: str) -> str:
    return word if re.fullmatch(r"[A-Za-z/]+", word) else "'" + word.replace("'", "'\\''") + "'"


def _without_words(facts: LexicalFacts) -> Choice:
    if not facts.texts:
        return Choice("string", "no value in any row: nothing tells its type")
    words = ", ".join(f"{count:,} are {shown(word)}" for word, count in facts.words.most_common(5))
    return Choice("string", f"no value tells its type ({words or 'all are blank'})")


def _of_values(name: str, facts: LexicalFacts, zone: str | None) -> Choice:
    numbers = facts.numbers
    if numbers.count == facts.spoken:
        day = _digits_as_day(name, facts)
        return day or _number(name, numbers, is_json=False)
    if facts.distinct is not None and (boolean := _boolean(facts)):
        return boolean
    if choice := _time(facts, zone):
        return choice
    evidence = _lengths(facts)
    if numbers.count > facts.spoken // 2 and facts.not_number is not None:
        example = facts.not_number
        where = f"{shown(example.text[:40])} on line {example.line:,} of {shown(example.file)}"
        evidence += f"; {facts.spoken - numbers.count:,} of {facts.spoken:,} are no numbers, such as {where}"
    return Choice("string", evidence)


def _lengths(facts: LexicalFacts) -> str:
    if facts.distinct is None:
        return f"up to {counted(facts.longest, 'character')}"
    different = sorted(facts.distinct)
    listed = f": {', '.join(map(shown, different))}" if len(different) <= 5 and facts.longest <= 20 else ""
    return f"{len(different):,} different{listed}" + (
        "" if listed else f", up to {counted(facts.longest, 'character')}"
    )


# ---- numbers ----------------------------------------------------------------------------------------------------------


def _number(name: str, numbers: NumberFacts, *, is_json: bool) -> Choice:
    if numbers.leading_zeros or numbers.plus_signs:
        which = [f"{n:,} with {what}" for n, what in ((numbers.leading_zeros, "leading zeros"), (numbers.plus_signs, "a plus sign")) if n]  # fmt: skip
        return Choice("string", f"digits, {' and '.join(which)}: a number would lose them")
    if _CODE.fullmatch(name) and not is_json:
        return Choice(
            "string", "digits only, but codes and phone numbers are no quantities: zeros may lead in the next file"
        )
    if not numbers.pointed and not numbers.exponents:
        return _whole(name, numbers)
    return _fraction(name, numbers)


def _whole(name: str, numbers: NumberFacts) -> Choice:
    if numbers.lowest is None or numbers.highest is None or numbers.digits_before > _DECIMAL_DIGITS:
        return Choice("string", f"whole numbers of up to {numbers.digits_before:,} digits: no type holds them")
    evidence = f"{numbers.lowest} to {numbers.highest}"
    largest = max(abs(numbers.lowest), abs(numbers.highest))
    if largest >= 1 << 63:
        return Choice(f"decimal({_DECIMAL_DIGITS},0)", f"{evidence}: more than 64 bits hold")
    if largest > _INT_HEADROOM:
        notes = _epoch(name, numbers.lowest, numbers.highest)
        exact = " (beyond 2^53, where doubles are no longer exact)" if largest > 1 << 53 else ""
        return Choice("bigint", evidence + exact, {}, notes)
    if _IDENTIFIER.fullmatch(name):
        return Choice("bigint", f"{evidence}; identifiers grow, so 64 bits")
    return Choice("int", evidence)


def _epoch(name: str, lowest: int, highest: int) -> tuple[str, ...]:
    if not _MOMENT.fullmatch(name):
        return ()
    for form, (first, last) in (("epoch_s", _EPOCH_S), ("epoch_ms", _EPOCH_MS)):
        if first <= lowest and highest <= last:
            return (f"may be a time: {{type: timestamp, format: {form}}}",)
    return ()


def _fraction(name: str, numbers: NumberFacts) -> Choice:
    before, after = max(numbers.digits_before, 1), numbers.digits_after
    is_fixed = numbers.fewest_after == after and (not numbers.whole or after == 2)
    is_money = bool(_MONEY.fullmatch(name))
    low, high = numbers.low_number, numbers.high_number
    if numbers.lowest is not None and numbers.highest is not None:
        low, high = min(numbers.lowest, low or 0), max(numbers.highest, high or 0)
    digits = ("" if is_fixed else "up to ") + counted(after, "digit")
    evidence = f"{low:g} to {high:g}, {digits} after the point"
    fits = before + after <= _DECIMAL_DIGITS
    if not numbers.exponents and fits and ((is_fixed and after <= _MOST_DECIMALS) or is_money):
        whole = min(max(before + 3, _WHOLE_DIGITS), _DECIMAL_DIGITS - after)
        why = " in every value" if is_fixed else "; money is exact"
        return Choice(f"decimal({whole + after},{after})", evidence + why)
    if numbers.not_exact_in_double == 0:
        return Choice("double", evidence if not numbers.exponents else f"{evidence}, some with exponents")
    lost = f"{counted(numbers.not_exact_in_double, 'value')} a double would change"
    if not numbers.exponents and fits:
        whole = min(max(before + 3, _WHOLE_DIGITS), _DECIMAL_DIGITS - after)
        return Choice(f"decimal({whole + after},{after})", f"{evidence}; {lost}")
    return Choice("string", f"{evidence}; {lost}, and no decimal holds")


# ---- words and times --------------------------------------------------------------------------------------------------


def _boolean(facts: LexicalFacts) -> Choice | None:
    said = {text for text in facts.distinct or () if text.strip() and text not in facts.words}
    if said <= _BOOLEANS:
        return Choice("boolean", ", ".join(sorted(said)))
    if {text.casefold() for text in said} in _YES_NO and len(said) == 2:
        yes, no = sorted(said, key=lambda text: text.casefold() not in ("y", "yes", "t", "j", "on"))
        note = f"may be {{type: boolean, true_values: [{_yaml(yes)}], false_values: [{_yaml(no)}]}}"
        return Choice("string", f"only {shown(yes)} and {shown(no)}", {}, (note,))
    return None


def _yaml(text: str) -> str:
    return '"' + text + '"'


def _digits_as_day(name: str, facts: LexicalFacts) -> Choice | None:
    for form, found in facts.times.counts.items():
        if form.is_digits and found.count == facts.spoken and _DAY.fullmatch(name):
            return Choice("date", "eight digits that are days, and the name says so", {"format": '"%Y%m%d"'})
    return None


def _time(facts: LexicalFacts, zone: str | None) -> Choice | None:
    found = {form: f for form, f in facts.times.counts.items() if f.count and not form.is_digits}
    total = sum(f.count for f in found.values())
    if not found or total < facts.spoken:
        if total > facts.spoken // 2:
            note = f"{facts.spoken - total:,} of {facts.spoken:,} values are no time in the forms of the others ({_listed(found)})"  # fmt: skip
            return Choice("string", _lengths(facts), {}, (note,))
        return None
    if len(found) > 1:
        note = f"times in {len(found)} forms ({_listed(found)}): a list of formats would take them, in the order given"
        return Choice("string", _lengths(facts), {}, (note,))
    ((form, form_facts),) = found.items()
    return _one_form(form, form_facts, facts, zone)


def _one_form(form: TimeForm, found: FormFacts, facts: LexicalFacts, zone: str | None) -> Choice:
    formats = form.formats
    if len(formats) == 2:
        # Shape `a b year`: month first fails where `a` is above 12, day first where `b` is.
        formats = tuple(f for f, month in zip(formats, found.largest, strict=True) if month <= 12)
    if len(formats) != 1:
        said = " and ".join(form.formats)
        note = (
            f"{said} fit every value: nothing tells day from month" if formats else f"neither {said} fits every value"
        )
        return Choice("string", _lengths(facts), {}, (note,))
    if form.short_year:
        note = f"times as {formats[0]}: years of two digits do not say their century"
        return Choice("string", _lengths(facts), {}, (note,))
    said = "YYYY-MM-DD" if formats[0] == "iso8601" else formats[0]
    options = {} if formats[0] == "iso8601" else {"format": f'"{formats[0]}"'}
    if not form.has_time:
        return Choice("date", f"every value as {said}", options)
    said = said.replace("YYYY-MM-DD", "ISO 8601")
    if form.has_offset:
        return Choice("timestamp", f"every value as {said} with its offset", options)
    if zone is None:
        note = f"times as {said} without an offset: run again with --zone, such as --zone UTC, to make it a timestamp"
        return Choice("string", _lengths(facts), {}, (note,))
    return Choice("timestamp", f"every value as {said}", {**options, "zone": zone})


def _listed(found: Mapping[TimeForm, FormFacts]) -> str:
    def say(form: TimeForm) -> str:
        name = "ISO 8601" if form.formats == ("iso8601",) else " or ".join(form.formats)
        return name + (" with offset" if form.has_offset else "" if form.has_time or name != "ISO 8601" else " date")

    return ", ".join(f"{f.count:,} as {say(form)}" for form, f in sorted(found.items(), key=lambda p: -p[1].count)[:4])
