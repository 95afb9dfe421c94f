"""Names for the columns of a file that its contract does not know, where the contract says `new_columns: add`."""

from dataclasses import dataclass

from pipelines.contracts.model import Dataset
from pipelines.contracts.names import MAX_COLUMN_NAME, plain_name
from pipelines.reading.collector import shown
from pipelines.reading.headers import normalised
from pipelines.reading.violations import Rule

__all__ = ["NameFault", "NewColumns"]


@dataclass(frozen=True, slots=True)
class NameFault:
    """Why a column of the file cannot be added: the rule it breaks, and what is expected."""

    rule: Rule
    expected: str


class NewColumns:
    """The columns that one file would add. `names` maps what the file calls them to what the table would.

    In CSV two columns of a header are two, however alike; in JSON a key may be spelt in several ways (`spellings`), as those of
    the contract's columns may.
    """

    def __init__(self, dataset: Dataset, limit: int, duplicate: Rule, *, spellings: bool = False) -> None:
        """Add to a dataset's columns up to `limit` in all; names that collide break the rule `duplicate`."""
        self.names: dict[str, str] = {}
        self._limit = limit
        self._duplicate = duplicate
        self._spellings = spellings
        self._owners = {name: f"the column {name} of the contract" for name in dataset.columns}
        self._owners |= {
            p.name: f"a partition called {p.name}" for p in dataset.partition_by if p.name not in self._owners
        }
        self._columns = len(dataset.columns)
        self._sources: dict[str, str] = {}  # of each new column, by its name
        self._known: dict[str, str | NameFault] = {}

    def take(self, source: str) -> str | NameFault:
        """The name of the table's column for a column of the file, always the same for the same."""
        known = self._known.get(source)
        if known is None:
            known = self._known[source] = self._take(source)
        return known

    def _take(self, source: str) -> str | NameFault:
        name = plain_name(source)
        if not name:
            return NameFault(
                Rule.COLUMN_UNEXPECTED, "a name with a letter a-z or a digit: a column is to be added for it"
            )
        if len(name) > MAX_COLUMN_NAME:
            return NameFault(
                Rule.COLUMN_UNEXPECTED,
                f"a name of at most {MAX_COLUMN_NAME} characters: a column is to be added for it",
            )
        if name in self._owners:
            return NameFault(
                self._duplicate, f"a name of its own: it would become {name}, and so is {self._owners[name]}"
            )
        other = self._sources.get(name)
        if other is not None:
            if self._spellings and normalised(other) == normalised(source):
                return name
            return NameFault(self._duplicate, f"a name of its own: it would become {name}, as {shown(other)} does")
        if self._columns + len(self.names) >= self._limit:
            return NameFault(
                Rule.COLUMN_COUNT, f"at most {self._limit:,} columns, those of the contract and those added to it"
            )
        self._sources[name] = source
        self.names[source] = name
        return name
