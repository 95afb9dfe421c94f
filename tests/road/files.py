"""What lands on the road: good files of each format, damaged ones, one nobody claims, and what each has to come to."""

import gzip
import json

FLIGHTS_HEADER = "carrier,flight,origin,dep_delay,time_hour\n"


def flights(*numbers: int, delay: object = 5, day: str = "2013-01-01") -> bytes:
    return (FLIGHTS_HEADER + "".join(f"UA,{number},EWR,{delay},{day}T10:00:00Z\n" for number in numbers)).encode()


def weather(*temperatures: float) -> bytes:
    origins = ("EWR", "JFK", "LGA")
    return "".join(
        json.dumps({"origin": origin, "temp": value}) + "\n"
        for origin, value in zip(origins, temperatures, strict=False)
    ).encode()


BAD_KEY = "landing/flights/2013-01-03.csv"
CUT_KEY = "landing/airports/cut short.json"
OLD_KEY = "landing/weather/1999-12-31.jsonl"
UNROUTED_KEY = "landing/nobody/notes.txt"
POISON = "a message that is no event"

FIRST: dict[str, bytes] = {
    "landing/flights/2013-01-01.csv": flights(1, 2, 3),
    "landing/flights/2013-01-02.csv": flights(4, 5, delay=700),
    BAD_KEY: flights(6) + b"UA,seven,EWR,5,2013-01-03T10:00:00Z\nUA,8,ORD,5,2013-01-03T10:00:00Z\n",
    "landing/flights/2013-01-04.csv.gz": gzip.compress(flights(9, 10, delay="NA"), mtime=0),
    OLD_KEY: weather(10.0),
    "landing/weather/2013-01-01.jsonl": weather(39.02, 38.5),
    "landing/weather/2013-01-02.jsonl.gz": gzip.compress(weather(28.1), mtime=0),
    "landing/airports/airports.json": json.dumps(
        [{"faa": "EWR", "name": "Newark"}, {"faa": "JFK", "name": None}, {"faa": "LGA", "name": "La Guardia"}]
    ).encode(),
    CUT_KEY: b'[{"faa": "EWR", "na',
    UNROUTED_KEY: b"nobody asked for this",
}
CORRECTED: dict[str, bytes] = {CUT_KEY: b'[{"faa": "TEB", "name": "Teterboro"}]'}
VISITS: dict[str, bytes] = {f"landing/visits/2024-05-01/{n:03}.csv": f"id\n{n}\n".encode() for n in range(50)}
