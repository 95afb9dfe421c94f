"""`lakegate metrics`: what Prometheus asks for, of all processes of this machine together."""

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from lakegate.cli.output import console
from lakegate.listening import PROXY_FLAG, require_loopback
from resources.telemetry_metrics import metrics_folder

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="What Lakegate measures of itself (docs/metrics.md).")

_PORT = 9464


@app.callback()
def metrics() -> None:
    """What Lakegate measures of itself."""


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="The port that Prometheus asks at.")] = _PORT,
    host: Annotated[
        str, typer.Option(help="The address to listen on. Anybody who reaches it reads the names of datasets.")
    ] = "127.0.0.1",
    behind_proxy: Annotated[
        bool,
        typer.Option(PROXY_FLAG, help="Something before it decides who may reach it, so that it may listen elsewhere."),
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where processes with LAKEGATE_METRICS=prometheus write; by default as they find it."),
    ] = None,
) -> None:
    """Serve the metrics of all processes that share a folder, at /metrics, until Ctrl-C or SIGTERM."""
    require_loopback("`lakegate metrics serve`", host, behind_proxy=behind_proxy)
    from prometheus_client import start_http_server
    from prometheus_client.registry import CollectorRegistry

    from resources.telemetry_prometheus import FolderCollector

    read = folder or metrics_folder(os.environ)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FolderCollector(read))
    server, thread = start_http_server(port, host, registry)
    console.print(
        f"Metrics of the processes that write to {read}: http://{host}:{server.server_port}/metrics", soft_wrap=True
    )
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    stopping.wait()
    server.shutdown()
    thread.join()
