"""What measuring costs: the whole ingestion of small files in memory, with each exporter and without, CPU time side by side.

    python -m benchmarks.telemetry                       # 3 rounds of 400 files
    python -m benchmarks.telemetry --files 1000 --rounds 5

No AWS is asked, so that next to nothing hides the cost: on AWS a file takes longer, and its share is smaller. Rounds of all exporters follow
each other in turn; of each the best counts. CPU a file is that of the ingesting thread; exporting, in threads of its own, is timed apart. On a
busy machine the ingestion varies by more than measuring costs, so one measurement is timed alone too, and taken as often as a file is measured.
"""

import argparse
import logging
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pipelines.telemetry.metrics import NO_METER, ROWS_READ, Meter
from resources.telemetry_metrics import EXPORTERS, OtelMeter, metrics_settings
from tests.ingest.world import World, orders, orders_key
from tests.telemetry.hearing import Hearing

ALL = ",".join(EXPORTERS)
MEASUREMENTS = 20_000


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def meter_with(exporters: str, folder: Path) -> Meter:
    """A meter that exports as often as it would; none for no exporter."""
    settings = metrics_settings(
        {
            "LAKEGATE_METRICS": exporters,
            "LAKEGATE_METRICS_DIR": str(folder / "metrics"),
            "LAKEGATE_EMF_FILE": str(folder / "emf.jsonl"),
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        }
    )
    return NO_METER if settings is None else OtelMeter(settings)


def ingestion_s(meter: Meter, files: int) -> float:
    """CPU seconds from the messages to the rows of so many files of one row each."""
    world = World(meter=meter)
    for number in range(files):
        world.put(orders_key(f"{number:05}"), orders(number))
    began = time.thread_time()
    world.settle_down()
    meter.flush()
    return time.thread_time() - began


def measurement_s(meter: Meter) -> float:
    """CPU seconds of making and telling one measurement."""
    meter.tell((ROWS_READ.of(1, dataset="orders"),))
    began = time.thread_time()
    for _ in range(MEASUREMENTS):
        meter.tell((ROWS_READ.of(1, dataset="orders"),))
    return (time.thread_time() - began) / MEASUREMENTS


def export_s(meter: Meter) -> float:
    """CPU seconds of one export by all exporters of a meter, the best of ten."""
    if not isinstance(meter, OtelMeter) or meter._working is None:
        return 0.0
    best = float("inf")
    for _ in range(10):
        meter.tell((ROWS_READ.of(1, dataset="orders"),))
        began = time.thread_time()
        for reader in meter._working.readers:
            reader.collect()
        best = min(best, time.thread_time() - began)
    return best


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    collector = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{collector.server_port}"
    kinds = ("", *EXPORTERS, ALL)
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        meters = {kind: meter_with(kind, Path(folder) / (kind or "none")) for kind in kinds}
        for kind, meter in meters.items():
            (Path(folder) / (kind or "none")).mkdir()
            ingestion_s(meter, 20)
        for _ in range(given.rounds):
            for kind, meter in meters.items():
                best[kind] = min(best.get(kind, 1e9), ingestion_s(meter, given.files))
        hearing = Hearing()
        ingestion_s(hearing, given.files)
        told = len(hearing.heard) / given.files
        without = best[""] / given.files
        print(
            f"{'exporters':<20} {'CPU a file':>11} {'of none':>8} {'a measurement':>15} {f'{told:.1f} a file, of none':>22}"
        )
        for kind, meter in meters.items():
            one = measurement_s(meter)
            share = told * one / without
            print(
                f"{kind or 'none':<20} {best[kind] / given.files * 1e6:>8.0f} us {best[kind] / best['']:>7.3f}x"
                f" {one * 1e6:>12.2f} us {share:>21.2%} {export_s(meter) * 1e3:>8.1f} ms"
            )
        for meter in meters.values():
            if isinstance(meter, OtelMeter):
                meter.close()


if __name__ == "__main__":
    main()
