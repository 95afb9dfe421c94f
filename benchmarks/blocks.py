"""The rows of the benchmark's feeds, a block at a time: typed values first, their text from them. The same numbers for the same seed.

A block depends on the seed and its own number alone, so blocks can be made side by side.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.feeds import CHANNELS, COUNTRIES, LETTERS, WIDE, Feed

__all__ = ["rows_of", "texts_of"]

_NAMES = ["Anna", "Björn", "Łukasz", "Zoë", "田中", "O'Neill", "Иван", "Ana María", "John", "Mary-Jane"]
_WORDS = ["red", "green chair", "blue lamp", "naïve café", "plain", "wooden table", "glass", "steel", "paper", "ink"]
_LETTER_WORDS = [
    "Grüße", "façade", "señor", "the", "of", "a", "invoice", "paid; late", 'called "urgent"', "tomorrow", "naïve", "10,5 %",
    "délai", "we", "regret", "your", "parcel", "no", "yes", "Straße", "ångström", "over-due", "thanks", "£40", "half", "before",
]  # fmt: skip
_FIRST_DAY = 19_723  # 2024-01-01
_DAYS = 30
_DAY_S = 86_400


def rows_of(feed: Feed, seed: int, first_id: int, rows: int, share_done: float) -> pa.RecordBatch:
    """The rows from `first_id` on, typed. `share_done` says how far into the file they are (0 to 1): dates of letters rise with it."""
    rng = np.random.default_rng([seed, first_id])
    columns = _ROWS[feed.name](rng, first_id, rows, share_done)
    return pa.RecordBatch.from_arrays([columns[name] for name in feed.columns], schema=feed.schema)


def texts_of(rows: pa.RecordBatch) -> dict[str, pa.Array]:
    """The rows' values as text, before any quotes of a format; null stays null."""
    return {name: _text(rows.column(name)) for name in rows.schema.names}


def _wide(rng: np.random.Generator, first_id: int, rows: int, share_done: float) -> dict[str, pa.Array]:
    del share_done
    day = rng.integers(0, _DAYS, rows)
    moment_s = (_FIRST_DAY + day) * _DAY_S + rng.integers(0, _DAY_S, rows)
    updated_us = moment_s * 1_000_000 + rng.integers(0, 10**12, rows)
    plain = pc.binary_join_element_wise(_pick(rng, _NAMES, rows), _pick(rng, _NAMES, rows), " ")
    quoted = pc.binary_join_element_wise(
        _pick(rng, _NAMES, rows), pa.scalar(', "'), _pick(rng, _WORDS, rows), pa.scalar('"'), ""
    )
    notes = pc.binary_join_element_wise(*[_pick(rng, _WORDS, rows) for _ in range(3)], " ")
    folded = pc.binary_join_element_wise(notes, _pick(rng, _WORDS, rows), "\n")
    letters = [f"{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(676)]
    digits = pa.array(rng.integers(1_000, 10_000, rows)).cast(pa.string())
    return {
        "id": pa.array(np.arange(first_id, first_id + rows)),
        "customer_id": _int32(rng.integers(0, 5_000_000, rows)),
        "store_id": _with_nulls(rng, _int32(rng.integers(0, 3_000, rows)), 0.05),
        "quantity": _int32(rng.integers(0, 1_000, rows)),
        "score": pa.array(np.round(rng.normal(0, 1_000, rows), 6)),
        "ratio": _with_nulls(rng, pa.array(np.round(rng.uniform(-1, 1, rows), 9)), 0.1),
        "weight": pa.array(rng.gamma(2.0, 10.0, rows)),
        "price": _decimal(rng.integers(0, 10_000_000, rows), 10, 2),
        "discount": _with_nulls(rng, _decimal(rng.integers(0, 10_000, rows), 6, 4), 0.3),
        "event_time": pa.array(moment_s * 1_000_000).cast(pa.timestamp("us")),
        "updated_at": pa.array(updated_us).cast(pa.timestamp("us", tz="UTC")),
        "event_date": pa.array((_FIRST_DAY + day).astype(np.int32)).cast(pa.date32()),
        "birth_date": _with_nulls(rng, _int32(rng.integers(-10_000, 12_000, rows)).cast(pa.date32()), 0.2),
        "active": pa.array(rng.random(rows) < 0.5),
        "name": pc.if_else(pa.array(rng.random(rows) < 0.2), quoted, plain),
        "code": pc.binary_join_element_wise(_pick(rng, letters, rows), digits, ""),
        "country": _pick(rng, COUNTRIES, rows),
        "note": _with_nulls(rng, pc.if_else(pa.array(rng.random(rows) < 0.01), folded, notes), 0.2),
    }  # fmt: skip


def _letters(rng: np.random.Generator, first_id: int, rows: int, share_done: float) -> dict[str, pa.Array]:
    short = [_sentence(rng, 3) for _ in range(400)]
    long = [
        "\n".join(_sentence(rng, int(words)) for words in rng.integers(5, 15, rng.integers(3, 25))) for _ in range(200)
    ]
    number = pa.array(np.arange(first_id, first_id + rows)).cast(pa.string())
    bodies = pc.if_else(pa.array(rng.random(rows) < 0.06), _pick(rng, long, rows), _pick(rng, short, rows))
    day = np.full(rows, _FIRST_DAY + int(share_done * 10), np.int32)
    return {
        "id": pa.array(np.arange(first_id, first_id + rows)),
        "sent_on": pa.array(day).cast(pa.date32()),
        "channel": _pick(rng, CHANNELS, rows),
        "grade": _with_nulls(rng, _int32(rng.integers(1, 7, rows)), 0.5),
        "body": _with_nulls(rng, pc.binary_join_element_wise(bodies, number, " No. "), 0.3),
    }


_ROWS: dict[str, Callable[[np.random.Generator, int, int, float], dict[str, pa.Array]]] = {
    WIDE.name: _wide,
    LETTERS.name: _letters,
}


def _sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(_LETTER_WORDS[word] for word in rng.integers(0, len(_LETTER_WORDS), words))


def _int32(values: np.ndarray) -> pa.Array:
    return pa.array(values.astype(np.int32))


def _decimal(units: np.ndarray, precision: int, scale: int) -> pa.Array:
    """Decimals from units of their last digit, none of them negative."""
    halves = np.zeros((len(units), 2), np.int64)
    halves[:, 0] = units
    return pa.Array.from_buffers(pa.decimal128(precision, scale), len(units), [None, pa.py_buffer(halves)])


def _pick(rng: np.random.Generator, choices: list[str], rows: int) -> pa.Array:
    return pa.array(choices).take(pa.array(rng.integers(0, len(choices), rows)))


def _with_nulls(rng: np.random.Generator, values: pa.Array, share: float) -> pa.Array:
    return pc.if_else(pa.array(rng.random(len(values)) < share), pa.scalar(None, values.type), values)


def _text(values: pa.Array) -> pa.Array:
    if not pa.types.is_timestamp(values.type):
        return values.cast(pa.string())
    # Days and seconds of a day come from lists: writing each moment by itself takes half of the generator's time.
    moments_us = values.view(pa.int64()).to_numpy()
    moments_s = moments_us // 1_000_000
    days = pa.array((moments_s // _DAY_S).astype(np.int32)).cast(pa.date32()).cast(pa.string())
    seconds = pa.array(np.arange(_DAY_S, dtype=np.int32)).cast(pa.time32("s")).cast(pa.string())
    clock = seconds.take(pa.array(moments_s % _DAY_S))
    if values.type.tz is None:
        return pc.binary_join_element_wise(days, clock, "T")
    micros = pc.utf8_lpad(pa.array(moments_us % 1_000_000).cast(pa.string()), 6, "0")
    return pc.binary_join_element_wise(
        pc.binary_join_element_wise(days, clock, "T"), pc.binary_join_element_wise(micros, pa.scalar(""), "Z"), "."
    )
