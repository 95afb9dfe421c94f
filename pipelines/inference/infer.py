"""Writes a dataset file for files never seen, and proves it: the story from top to bottom.

    look          each file's head: compression, format, delimiter, header; of JSON the keys of all records
    read          every file whole, by the strict reader, under a contract that takes every cell as text
    choose        for each column the type that says exactly what every text says, or text
    write         the dataset file, each line with its evidence
    read again    every file under that contract; a value that has not its column's type makes the column text

What is broken in itself (bytes, quotes, rows of another length) is told by the reader and never guessed around.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.contracts.loading import BrokenDataset, parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import SOURCE_LINE
from pipelines.errors import ConfigurationError
from pipelines.inference.choice import Choice, choose, counted, text_choice
from pipelines.inference.columns import ColumnFacts, group_columns, name_fault
from pipelines.inference.document import Draft, scalar
from pipelines.inference.landing import Landing, dataset_name, landing_of, landing_told
from pipelines.inference.row_keys import KeyProbe
from pipelines.inference.sources import Delimiter, FormatType, Head, SourceFile, choose_delimiter, keys_of, look_at
from pipelines.intake.routing import KeyValueError, key_values
from pipelines.printable import spoken
from pipelines.reading.limits import Limits
from pipelines.reading.summary import FileReader, ReadRequest, ReadSummary
from pipelines.reading.violations import Rule, Violation

__all__ = ["BrokenFile", "Inferred", "Options", "infer"]

_MAX_ROUNDS = 10
_OF_VALUES = frozenset({Rule.TYPE, Rule.NUMBER_RANGE})
_NO_KEY = frozenset({"double", "float", "json"})
_ALIKE = 0.7
_MARK = "lakegate_infer"


@dataclass(frozen=True, slots=True)
class Options:
    """What a person told: each None, or empty, where nothing was said."""

    name: str | None = None
    key: str | None = None
    null_values: tuple[str, ...] = ()
    encoding: str = "utf-8"
    delimiter: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Inferred:
    """The dataset file, which loads without a fault and under which every file was accepted."""

    name: str
    text: str
    rows: int


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file that no contract could accept, and why. `why` is set where the reader has nothing to say against it."""

    name: str
    violations: tuple[Violation, ...]
    why: str | None = None


def infer(
    files: Sequence[SourceFile], options: Options, reader: FileReader, today: date
) -> Inferred | tuple[BrokenFile, ...]:
    """Infer one dataset from files that belong to it, or say which of them are broken.

    Raises ConfigurationError when the files are no one dataset, hold nothing, or an option does not fit them.
    """
    return _Inference(files, options, reader, today).run()


class _Inference:
    def __init__(self, files: Sequence[SourceFile], options: Options, reader: FileReader, today: date) -> None:
        self.files = files
        self.options = options
        self.reader = reader
        self.today = today
        self.started = time.perf_counter()

    def run(self) -> Inferred | tuple[BrokenFile, ...]:
        heads = [look_at(file, self.options.encoding) for file in self.files]
        self.form: FormatType = self._one_form(heads)
        self.delimiter = self._delimiter(heads)
        names = [self._names(file, head) for file, head in zip(self.files, heads, strict=True)]
        self.columns, self.by_file = group_columns([n or () for n in names])
        summaries = self._read_texts(names)
        if broken := self._broken(summaries, names):
            return broken
        self.rows = [s.rows_read for s in summaries]
        if not self.columns:
            raise ConfigurationError("the files hold no column: there is nothing to infer from")
        choices = {c.name: choose(c, is_json=self.form != "csv", zone=self.options.zone) for c in self.columns}
        self.landing = self._landing()
        return self._prove(self._draft(choices, heads))

    # ---- look

    def _one_form(self, heads: Sequence[Head]) -> FormatType:
        forms: dict[FormatType, str] = {
            head.form: file.name for file, head in zip(self.files, heads, strict=True) if head.form is not None
        }
        if len(forms) > 1:
            said = " and ".join(f"{name} is {form}" for form, name in forms.items())
            raise ConfigurationError(f"{said}: files of one dataset have one format; infer them apart")
        return next(iter(forms)) if forms else "csv"

    def _delimiter(self, heads: Sequence[Head]) -> Delimiter | None:
        if self.form != "csv":
            return None
        if self.options.delimiter is not None:
            return Delimiter(self.options.delimiter, 0, 0, 0)
        return choose_delimiter(heads)

    def _names(self, file: SourceFile, head: Head) -> tuple[str, ...] | None:
        """The columns of a file; None where they cannot be told, which the reader will explain."""
        if head.form is None:
            return () if head.is_whole else None
        if self.delimiter is not None:
            return head.header(self.delimiter.mark)
        keys = keys_of(file, self.form)
        return None if keys is None or len(keys) > Limits().columns else tuple(keys)

    # ---- read

    def _read_texts(self, names: Sequence[tuple[str, ...] | None]) -> list[ReadSummary]:
        contracts: dict[tuple[str, ...] | None, Dataset] = {}
        summaries: list[ReadSummary] = []
        for file, own, found in zip(self.files, names, self.by_file, strict=True):
            contract = contracts.get(own) or contracts.setdefault(own, self._text_contract(own))
            sink = _TextSink(file.name, [found[name] for name in own or ()], is_json=self.form != "csv")
            summary = self.reader.read(ReadRequest(contract, file.size_bytes, {}), file.chunks, sink)
            present = {id(found[name]) for name in own or ()}
            for column in self.columns:
                if id(column) not in present:
                    column.add_missing(summary.rows_read)
            summaries.append(summary)
        return summaries

    def _text_contract(self, names: tuple[str, ...] | None) -> Dataset:
        kind = "string" if self.form == "csv" else "json"
        columns: dict[str, Any] = {f"{_MARK}_{i}": {"type": kind, "source": n} for i, n in enumerate(names or ())}
        return Dataset.model_validate(
            {
                "name": _MARK,
                "description": "Every cell as it stands.",
                "landing": {"key": f"landing/{_MARK}/*", "start": "2000-01-01"},
                "format": self._format()
                | ({"null_values": ["", *self.options.null_values]} if self.form == "csv" else {}),
                "columns": columns or {_MARK: {"type": kind}},
                # Where the columns cannot be told, only faults of structure are of interest.
                "schema": {"missing_columns": "allow", "new_columns": "reject" if columns else "rescue"},
            }
        )

    def _format(self) -> dict[str, Any]:
        if self.delimiter is None:
            return {"type": self.form}
        if self.delimiter.mark == "\t":
            return {"type": "tsv", "encoding": self.options.encoding}
        return {"type": "csv", "delimiter": self.delimiter.mark, "encoding": self.options.encoding}

    def _broken(
        self, summaries: Sequence[ReadSummary], names: Sequence[tuple[str, ...] | None]
    ) -> tuple[BrokenFile, ...]:
        broken: list[BrokenFile] = []
        for file, summary, own in zip(self.files, summaries, names, strict=True):
            if summary.violations or not summary.read_complete:
                spelt = {_MARK: None, **{f"{_MARK}_{i}": name for i, name in enumerate(own or ())}}
                faults = (replace(v, column=v.column and spelt.get(v.column, v.column)) for v in summary.violations)
                broken.append(BrokenFile(file.name, tuple(faults)))
            elif own is None:
                why = f"its columns cannot be told, or are more than {Limits().columns:,}"
                broken.append(BrokenFile(file.name, (), why))
            elif (why := name_fault(own)) is not None:
                broken.append(BrokenFile(file.name, (), why))
        return tuple(broken)

    # ---- write

    def _landing(self) -> Landing:
        paths = [file.parts for file in self.files]
        if self.options.key is not None:
            return landing_told(self.options.key, paths)
        return landing_of(self._name(), paths, [column.name for column in self.columns])

    def _name(self) -> str:
        return self.options.name or dataset_name([file.parts for file in self.files])

    def _draft(self, choices: Mapping[str, Choice], heads: Sequence[Head]) -> Draft:
        form = {
            key: scalar(str(value)) for key, value in self._format().items() if (key, value) != ("encoding", "utf-8")
        }
        if form.get("delimiter") == scalar(","):
            del form["delimiter"]
        if self.options.null_values:
            form["null_values"] = f"[{', '.join(map(scalar, ('', *self.options.null_values)))}]"
        with_header = [found for found in self.by_file if found]
        missing = [c.name for c in self.columns if sum(c in found.values() for found in with_header) < len(with_header)]
        start, evidence = self.landing.start or self.today, "the first day in the keys"
        if self.landing.start is None:
            evidence = "today: the day of a file is the day it arrives"
        return Draft(
            self._name(),
            self.landing,
            start.isoformat(),
            evidence,
            form,
            self._format_evidence(heads),
            [(column, choices[column.name]) for column in self.columns],
            len(self.files),
            missing,
        )

    def _format_evidence(self, heads: Sequence[Head]) -> list[str]:
        said: list[str] = []
        if self.delimiter is not None and self.delimiter.records:
            mark = "a comma" if self.delimiter.mark == "," else spoken(self.delimiter.mark)
            said.append(
                f"delimiter {mark}: with it {self.delimiter.fitting:,} of the first {self.delimiter.records:,} records "
                f"have as many fields as their header ({self.delimiter.fields:,} in the widest)"
                if self.delimiter.fields > 1
                else "one column: no delimiter was found in the header"
            )
        encoding = f"every byte is valid {self.options.encoding}"
        if marks := sum(head.has_bom for head in heads):
            encoding += f"; {counted(marks, 'file')} with a byte order mark, which is skipped"
        said.append(encoding)
        for kind in sorted({head.compression for head in heads if head.compression}):
            said.append(f"{counted(sum(h.compression == kind for h in heads), 'file')} compressed with {kind}")
        return said

    # ---- prove

    def _prove(self, draft: Draft) -> Inferred | tuple[BrokenFile, ...]:
        for _ in range(_MAX_ROUNDS):
            dataset = self._load(draft)
            with self._probe(draft) as probe:
                violations = self._read_typed(dataset, probe)
                refuted = _refuted(draft, violations)
                if not violations:
                    return self._finished(draft, probe)
            if not refuted:
                return tuple(BrokenFile(name, found) for name, found in violations.items())
            is_json = self.form != "csv"
            draft = replace(
                draft,
                columns=[
                    (
                        facts,
                        text_choice(choice, refuted[facts.name], is_json=is_json) if facts.name in refuted else choice,
                    )
                    for facts, choice in draft.columns
                ],
            )
        raise ConfigurationError("no contract was found under which every file is accepted: give fewer files at once")

    def _load(self, draft: Draft) -> Dataset:
        loaded = parse_dataset(draft.text().encode(), Path(f"{draft.name}.yaml"))
        if isinstance(loaded, BrokenDataset):
            raise ConfigurationError(f"what was inferred is no dataset file; tell more with the options:\n{loaded}")
        return loaded

    def _probe(self, draft: Draft) -> KeyProbe:
        different: dict[str, int | None] = {}
        for facts, choice in draft.columns:
            is_null = facts.nulls or facts.lexical.blank or facts.lexical.words
            if not is_null and choice.type not in _NO_KEY:
                distinct = facts.lexical.distinct
                different[facts.name] = None if distinct is None else len(distinct)
        with_rows = [rows for rows in self.rows if rows]
        return KeyProbe(different, largest_file=max(with_rows, default=0), many_files=len(with_rows) > 1)

    def _read_typed(self, dataset: Dataset, probe: KeyProbe) -> dict[str, tuple[Violation, ...]]:
        violations: dict[str, tuple[Violation, ...]] = {}
        for file, key in zip(self.files, self.landing.keys, strict=True):
            try:
                values = key_values(dataset, key)
            except KeyValueError as error:
                raise ConfigurationError(f"{file.name}: {error}") from None
            summary = self.reader.read(ReadRequest(dataset, file.size_bytes, values or {}), file.chunks, probe)
            if summary.violations:
                violations[file.name] = summary.violations
            probe.end_file()
        return violations

    def _finished(self, draft: Draft, probe: KeyProbe) -> Inferred:
        rows, seconds = sum(self.rows), time.perf_counter() - self.started
        closing = [
            *self._key_lines(probe),
            *_partition_lines(draft),
            *(_null_lines(draft) if rows else ()),
            *_alias_lines(draft, self.by_file),
        ]
        verified = (
            f"Proven: read again under this contract, {counted(len(self.files), 'file')} with {counted(rows, 'row')} "
            f"{'was' if len(self.files) == 1 else 'were'} accepted ({seconds:.1f} s in all)."
        )
        if not rows:
            verified = "CHECK: the files have no row: they would be called empty, and nothing in them tells a type."
        text = replace(draft, closing=closing).text(verified)
        return Inferred(draft.name, text, rows)

    def _key_lines(self, probe: KeyProbe) -> Iterator[str]:
        files = "these files" if len(self.files) > 1 else "this file"
        for key in probe.found():
            where = f"in all rows of {files}" if key.over_all else "within each file, but not over all files"
            yield f"primary_key: [{', '.join(key.columns)}]  - a promise you could make: never null and unique {where}"


def _refuted(draft: Draft, violations: Mapping[str, tuple[Violation, ...]]) -> dict[str, str]:
    """The columns whose values have not the type chosen, and why."""
    refuted: dict[str, str] = {}
    own = {facts.name: choice for facts, choice in draft.columns}
    for name, found in violations.items():
        for violation in found:
            column = violation.column
            if violation.rule in _OF_VALUES and column in own and own[column].type not in ("string", "json"):
                refuted.setdefault(column, f"line {violation.line} of {name}: {violation.message}")
    return refuted


def _partition_lines(draft: Draft) -> Iterator[str]:
    if draft.landing.partition is not None:
        return
    for facts, choice in draft.columns:
        if choice.type in ("date", "timestamp") and not facts.nulls and not facts.lexical.blank:
            said = facts.name if choice.type == "date" else f"day({facts.name})"
            yield f"partition_by: [{said}]  - possible: {facts.name} is never null"


def _null_lines(draft: Draft) -> Iterator[str]:
    never = [facts.name for facts, _ in draft.columns if not facts.nulls and not facts.lexical.blank]
    if never:
        yield f"Never null in these files, so `nullable: false` is a promise you could make: {', '.join(never)}"


def _alias_lines(draft: Draft, by_file: Sequence[Mapping[str, ColumnFacts]]) -> Iterator[str]:
    """Columns never found in one file, whose names are alike: perhaps one column that was renamed."""
    missing = [facts for facts, _ in draft.columns if facts.name in draft.missing_columns]
    files = [{facts.name for facts in found.values()} for found in by_file]
    for one, other in combinations(missing, 2):
        together = any(one.name in names and other.name in names for names in files)
        short, long = sorted((one.name, other.name), key=len)
        alike = len(short) > 2 and (long.startswith(short) or SequenceMatcher(None, short, long).ratio() > _ALIKE)
        if alike and not together:
            spelling = other.spellings.most_common(1)[0][0]
            yield (f"CHECK: {one.name} and {other.name} never stand in one file: if they are one column, remove "
                   f"{other.name} and write aliases: [{scalar(spelling)}] at {one.name}")  # fmt: skip


class _TextSink:
    """Takes the rows of one file, every cell as text, and adds them to the columns' facts."""

    def __init__(self, file: str, columns: Sequence[ColumnFacts], *, is_json: bool) -> None:
        self._file = file
        self._columns = columns
        self._is_json = is_json

    def write(self, batch: pa.RecordBatch) -> None:
        lines = batch.column(batch.schema.get_field_index(SOURCE_LINE))
        for position, column in enumerate(self._columns):
            cells = batch.column(position)
            if self._is_json:
                column.add_documents(cells, lines, self._file)
            else:
                column.add_texts(cells, lines, self._file)

    def reject(self, batch: pa.RecordBatch) -> None:
        """Nothing is rejected row by row: the contract does not say so."""

    def restart(self) -> None:
        raise ConfigurationError(f"{self._file}: the reader died on it and had to begin again; infer without this file")
