"""Cuts UTF-8 CSV into blocks of whole records, and knows where each record, line and structural fault is.

The grammar is RFC 4180's, strictly; LF, CRLF and lone CR each end a line. A block in which every quote stands where it
may (a vectorised look at the bytes around each quote) is exactly what the grammar says; only where one does not is
the state machine over quotes run, which names the faults and finds the record ends behind them. Knows nothing of
columns or types.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.reading.stream_fault import StreamFault

__all__ = ["BLOCK_BYTES", "CsvBlock", "Positions", "QuoteFaults", "Structure", "line_ends", "slices", "split"]

Positions = npt.NDArray[np.int64]
_Bytes = npt.NDArray[np.uint8]

BLOCK_BYTES = 4 << 20
_DENSE_BYTES = 512 << 10
_QUOTES_AT_ONCE = 64 << 10
_SAMPLED = 61  # a prime: no regular record length hides behind the sampling
_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D
_NONE: Positions = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class QuoteFaults:
    """Quotes that the grammar does not allow where they stand: all in rising order, and which of them are bare.

    A bare quote stands inside a field that does not start with one (of several in a row, the first is named); any other one
    closes a field behind which text goes on.
    """

    positions: Positions
    is_bare: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.positions)


_NO_FAULTS = QuoteFaults(_NONE, np.empty(0, np.bool_))


@dataclass(frozen=True, slots=True)
class Structure:
    """Where lines and records end, and which quotes are wrong, in a buffer that starts at a record's start.

    `line_ends` holds the position of the last byte of each line end, `record_ends` those outside quotes. `opens`
    holds the quotes that open a quoted region, `closes` those that close one (one less when the last is open).
    """

    line_ends: Positions
    record_ends: Positions
    opens: Positions
    closes: Positions
    faults: QuoteFaults


@dataclass(frozen=True, slots=True)
class CsvBlock:
    """Whole records. `starts` and `ends` delimit each record (its line end included); `lines` is where each starts.

    `byte_offset` is the block's place in the UTF-8 text. `oversized` marks a last record that was cut off because it
    is larger than the limit, `unclosed` one whose quote is open at the end of the file.
    """

    content: bytes
    byte_offset: int
    starts: Positions
    ends: Positions
    lines: Positions
    structure: Structure
    is_last: bool
    oversized: bool = False

    @property
    def unclosed(self) -> bool:
        """Whether the last record's quote is never closed."""
        return len(self.structure.opens) > len(self.structure.closes)

    @property
    def open_quote(self) -> int:
        """Where the quote that is never closed opens; only for an `unclosed` block."""
        opens, closes = self.structure.opens, self.structure.closes
        last = len(opens) - 1
        while last > 0 and closes[last - 1] == opens[last] - 1:  # an escaped quote closes and opens by parity
            last -= 1
        return int(opens[last])

    def line_of(self, position: int) -> int:
        """The line a position of the block lies on, as an editor counts."""
        return int(self.lines[0]) + int(np.searchsorted(self.structure.line_ends, position))

    def inside_quotes(self, positions: Positions) -> npt.NDArray[np.bool_]:
        """Which positions lie in quoted text (the opening quote itself does not)."""
        opened = np.searchsorted(self.structure.opens, positions)
        return opened > np.searchsorted(self.structure.closes, positions)


def split(
    pieces: Iterable[bytes], delimiter: str, record_bytes: int, block_bytes: int = BLOCK_BYTES
) -> Iterator[CsvBlock]:
    """Cut `pieces` into blocks of about `block_bytes` at record ends; the last block may end without a line end.

    A record of more than `record_bytes` that does not fit a block comes alone and cut off, as the last block. Never
    raises for what the bytes hold; holds at most the larger of one block and one record, twice. A StreamFault of
    the pieces is raised behind the last whole record.
    """
    mark = ord(delimiter)
    source = slices(pieces, block_bytes)
    held: list[bytes] = []
    held_bytes, wanted, offset, line = 0, block_bytes, 0, 1
    at_end = is_whole_window = False
    fault: StreamFault | None = None
    while True:
        while held_bytes < wanted and not at_end and fault is None:
            try:
                piece = next(source, None)
            except StreamFault as stop:
                fault = stop
                break
            if piece is None:
                at_end = True
            else:
                held.append(piece)
                held_bytes += len(piece)
        buffer = b"".join(held)
        if not buffer:
            if fault is not None:
                raise fault
            return
        window = buffer[:_DENSE_BYTES] if not is_whole_window and _is_dense(buffer) else buffer
        is_last = at_end and len(window) == len(buffer)
        structure = _structure(window, mark, is_last)
        if is_last:
            cut = len(window)
        elif len(structure.record_ends):
            cut = int(structure.record_ends[-1]) + 1
        elif len(window) < len(buffer):
            held, is_whole_window = [buffer], True  # no record ends in the smaller window: look at all there is
            continue
        elif len(buffer) > record_bytes:
            yield _block(buffer, offset, line, structure, is_last=True, oversized=True)
            return
        elif fault is not None:
            raise fault
        else:
            held, wanted = [buffer], max(min(len(buffer) * 2, record_bytes + 1), wanted, len(buffer) + 1)
            continue
        yield _block(window if is_last else window[:cut], offset, line, structure, is_last=is_last)
        offset += cut
        line += int(np.searchsorted(structure.line_ends, cut))
        held, is_whole_window = [buffer[cut:]], False
        held_bytes, wanted = len(held[0]), block_bytes


def _is_dense(buffer: bytes) -> bool:
    """Whether line ends or quotes are so frequent that their positions would take many times the buffer's own size."""
    if len(buffer) <= _DENSE_BYTES:
        return False
    sampled = np.frombuffer(buffer, np.uint8)[::_SAMPLED]
    ends = int(np.count_nonzero((sampled == _LF) | (sampled == _CR)))
    return ends > len(sampled) // 8 or int(np.count_nonzero(sampled == _QUOTE)) > len(sampled) // 3


def slices(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of at most `size`."""
    for piece in pieces:
        if len(piece) <= size:
            yield piece
        else:
            for start in range(0, len(piece), size):
                yield piece[start : start + size]


def _block(
    content: bytes, offset: int, line: int, structure: Structure, *, is_last: bool, oversized: bool = False
) -> CsvBlock:
    ends = structure.record_ends + 1
    if not len(ends) or ends[-1] < len(content):
        ends = np.append(ends, len(content))
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    if len(structure.record_ends) == len(structure.line_ends):
        lines = np.arange(line, line + len(starts), dtype=np.int64)
    else:
        lines = line + np.searchsorted(structure.line_ends, starts)
    if not is_last:
        structure = _upto(structure, len(content))
    return CsvBlock(content, offset, starts, ends, lines, structure, is_last, oversized)


def _upto(structure: Structure, end: int) -> Structure:
    """The structure of the buffer's first `end` bytes, which end with a record."""
    faults = int(np.searchsorted(structure.faults.positions, end))
    return Structure(
        structure.line_ends[: np.searchsorted(structure.line_ends, end)],
        structure.record_ends[: np.searchsorted(structure.record_ends, end)],
        structure.opens[: np.searchsorted(structure.opens, end)],
        structure.closes[: np.searchsorted(structure.closes, end)],
        QuoteFaults(structure.faults.positions[:faults], structure.faults.is_bare[:faults]),
    )


def _structure(buffer: bytes, mark: int, at_end: bool) -> Structure:
    """Look at a buffer; before the end of the file its last byte is left out: what follows it is not known yet."""
    known = len(buffer) if at_end else len(buffer) - 1
    octets = np.frombuffer(buffer, np.uint8)
    lines = line_ends(octets, buffer, known)
    quotes: Positions = np.flatnonzero(octets[:known] == _QUOTE) if b'"' in buffer else _NONE
    if not len(quotes):
        return Structure(lines, lines, _NONE, _NONE, _NO_FAULTS)
    if _all_stand_right(octets, quotes, mark):
        opens, closes, faults = quotes[0::2], quotes[1::2], _NO_FAULTS
    else:
        opens, closes, faults = _scan(octets, quotes, mark)
    inside = np.searchsorted(opens, lines) > np.searchsorted(closes, lines)
    return Structure(lines, lines[~inside] if inside.any() else lines, opens, closes, faults)


def line_ends(octets: _Bytes, buffer: bytes, known: int) -> Positions:
    """Positions of the last byte of each line end among the first `known` bytes: LF, CRLF and lone CR, as an editor counts."""
    feeds: Positions = np.flatnonzero(octets[:known] == _LF)
    if b"\r" not in buffer:
        return feeds
    returns: Positions = np.flatnonzero(octets[:known] == _CR)
    follows = np.full(len(returns), 0, np.uint8)
    has_next = returns + 1 < len(octets)
    follows[has_next] = octets[returns[has_next] + 1]
    alone = returns[follows != _LF]
    return np.sort(np.concatenate((feeds, alone))) if len(alone) else feeds


def _all_stand_right(octets: _Bytes, quotes: Positions, mark: int) -> bool:
    """Whether parity alone tells quoted from unquoted text: each quote stands where RFC 4180 allows one.

    An opening quote (even) follows a delimiter, a line end, the start, or, as the second half of an escape, the quote
    before it. A closing one (odd) precedes a delimiter, a line end, the end, or the first half's partner.
    """
    even, odd = quotes[0::2], quotes[1::2]
    before = octets[np.maximum(even - 1, 0)]
    right = (before == mark) | (before == _LF) | (before == _CR) | (even == 0)
    escapes = before == _QUOTE  # by parity the quote before an even one is a closing one
    if not bool(np.all(right | escapes)):
        return False
    inside = odd[odd + 1 < len(octets)]
    after = octets[inside + 1]
    return bool(np.all((after == mark) | (after == _LF) | (after == _CR) | (after == _QUOTE)))


def _scan(octets: _Bytes, quotes: Positions, mark: int) -> tuple[Positions, Positions, QuoteFaults]:
    """The state machine over quotes: a wrong quote in an unquoted field is text, text after a closing quote is dropped.

    Vectorised, because a hostile file may hold nothing but wrong ones; and in portions, because their arrays would be large.
    """
    opens: list[Positions] = []
    closes: list[Positions] = []
    wrong: list[Positions] = []
    bare: list[npt.NDArray[np.bool_]] = []
    is_open = False
    for portion in _whole_runs(quotes):
        opening, closing, faults, is_open = _scan_runs(octets, portion, mark, is_open)
        opens.append(opening)
        closes.append(closing)
        wrong.append(faults.positions)
        bare.append(faults.is_bare)
    return np.concatenate(opens), np.concatenate(closes), QuoteFaults(np.concatenate(wrong), np.concatenate(bare))


def _whole_runs(quotes: Positions) -> Iterator[Positions]:
    """The quotes in portions that cut no run of adjacent ones."""
    start = 0
    while start < len(quotes):
        stop = min(start + _QUOTES_AT_ONCE, len(quotes))
        while stop < len(quotes) and quotes[stop] - quotes[stop - 1] == 1:
            gaps = np.flatnonzero(np.diff(quotes[stop - 1 : stop + _QUOTES_AT_ONCE]) != 1)
            stop = stop + int(gaps[0]) if len(gaps) else min(stop + _QUOTES_AT_ONCE, len(quotes))
        yield quotes[start:stop]
        start = stop


def _scan_runs(
    octets: _Bytes, quotes: Positions, mark: int, is_open: bool
) -> tuple[Positions, Positions, QuoteFaults, bool]:
    """Quotes that open and close, and wrong ones, from whole runs; `is_open` is the state before and, returned, behind them.

    What a run of adjacent quotes does to the state depends on two things only: an even run leaves it as it is, by opening and
    closing or by escapes alone; an odd one that stands where a field starts turns it round, and one that does not always
    leaves it closed.
    """
    begins = np.concatenate(([True], np.diff(quotes) != 1))
    starts, lasts = quotes[begins], quotes[np.append(begins[1:], True)]
    is_odd = (lasts - starts) % 2 == 0
    before = octets[np.maximum(starts - 1, 0)]
    may_open = (before == mark) | (before == _LF) | (before == _CR) | (starts == 0)
    turns = np.cumsum(is_odd & may_open) + is_open
    since = np.maximum.accumulate(np.where(is_odd & ~may_open, turns, 0))
    is_open_behind = (turns - since) % 2 == 1
    was_open = np.concatenate(([is_open], is_open_behind[:-1]))
    opening = ~was_open & may_open
    closing = np.where(was_open, is_odd, opening & ~is_odd)
    goes_on = lasts + 1 < len(octets)
    after = octets[np.minimum(lasts + 1, len(octets) - 1)]
    if goes_on[-1] and after[-1] == _QUOTE:  # the run itself goes on, beyond what is known
        closing[-1] = False
    is_late = closing & goes_on & (after != mark) & (after != _LF) & (after != _CR)
    is_bare = ~was_open & ~may_open
    wrong = is_late | is_bare
    faults = QuoteFaults(np.where(is_bare, starts, lasts)[wrong], is_bare[wrong])
    return starts[opening], lasts[closing], faults, bool(is_open_behind[-1])
