"""`python -m lakegate.health SERVICE`: what a container's health check asks. Ends with 0 for healthy, else with 1 and a sentence.

Beside its own question every service asks whether Postgres still takes the password that this container was started with. A
password that was rotated is no longer taken, and only a new container gets the new one: unhealthy is what makes ECS start it. A
Postgres that does not answer makes nobody unhealthy: no new container would change that.
"""

import argparse
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from lakegate.workers.notes import is_ready

__all__ = ["code_server", "password_is_taken", "web_server", "workers"]

POSTGRES_VARIABLE = "LAKEGATE_DAGSTER_POSTGRES"
_LIMIT_S = 5
_REFUSED = ("password authentication failed", "no pg_hba.conf entry", "no password supplied")
"""What libpq says where Postgres refuses the user: it gives no code for a connection that was never made."""


def password_is_taken(environment: Mapping[str, str]) -> str | None:
    """Return the sentence that says why not; None: Postgres takes it, does not answer, or is not used."""
    address = environment.get(POSTGRES_VARIABLE)
    if not address:
        return None
    import psycopg2

    address = address.replace("postgresql+psycopg2://", "postgresql://", 1)
    try:
        psycopg2.connect(address, connect_timeout=_LIMIT_S).close()
    except psycopg2.OperationalError as error:
        if any(text in str(error) for text in _REFUSED):
            return (
                "Postgres does not take this container's password. If it was rotated, a new container gets the new one."
            )
    return None


def web_server(port: int) -> str | None:
    """Return why Dagster's pages on this machine are not served; None: they are."""
    address = f"http://127.0.0.1:{port}/server_info"
    try:
        with urllib.request.urlopen(address, timeout=_LIMIT_S):
            return None
    except (urllib.error.URLError, OSError) as error:
        return f"Dagster's web server does not answer on port {port}: {error}"


def code_server(port: int) -> str | None:
    """Return why the code server on this machine does not serve; None: it does."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            asked = health_pb2.HealthCheckRequest(service="DagsterApi")
            answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=_LIMIT_S)  # pyright: ignore[reportAttributeAccessIssue]  # made at run time
        except grpc.RpcError as error:
            return f"the code server does not answer on port {port}: {error}"
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    return None if serving else f"the code server on port {port} says that it does not serve"


def workers(folder: Path) -> str | None:
    """Return why no worker with its notes in `folder` takes runs; None: one does."""
    return None if is_ready(folder) else "no worker has warmed up, or the one that had is dead"


def main() -> int:
    """Ask; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lakegate.health")
    services = parser.add_subparsers(dest="service", required=True)
    for name, port in (("web", 3000), ("code", 4000)):
        services.add_parser(name).add_argument("--port", type=int, default=port)
    services.add_parser("workers").add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    questions: dict[str, Callable[[], str | None]] = {
        "web": lambda: web_server(given.port),
        "code": lambda: code_server(given.port),
        "workers": lambda: workers(given.folder),
    }
    wrong = [said for said in (questions[given.service](), password_is_taken(os.environ)) if said]
    for said in wrong:
        sys.stderr.write(f"{given.service}: {said}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
