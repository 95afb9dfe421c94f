"""Log lines: one JSON object each whatever stands in a record, with what it is correlated by, and no account's number."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from lakegate.logs import configure_logging
from lakegate.settings import repository_root
from pipelines.errors import ConfigurationError
from pipelines.intake.objects import object_id
from pipelines.telemetry.logs import JsonFormatter, account_numbers, file_fields, logged

ACCOUNT = "210987654321"
NAMES = {
    "LAKEGATE_LANDING_BUCKET": f"lakegate-landing-{ACCOUNT}-eu-central-1",
    "LAKEGATE_QUEUE_URL": f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/lakegate-events",
    "LAKEGATE_PAUSE_AFTER": "123456789012",
    "LAKEGATE_ACCOUNT_ID": ACCOUNT,
}


def line(message: str, *args: object, **more: Any) -> dict[str, Any]:
    record = logging.LogRecord("lakegate.test", logging.INFO, "x.py", 1, message, args, more.pop("exc_info", None))
    record.__dict__.update(more)
    text = JsonFormatter(account_numbers(NAMES)).format(record)
    assert text.isascii()
    assert len(text.splitlines()) == 1
    return json.loads(text)


def process(code: str, **environment: str) -> list[dict[str, Any]]:
    """What a process logged, each line of it as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LAKEGATE_LOG": "json", **environment},
        cwd=repository_root(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    return [json.loads(text) for text in done.stderr.splitlines()]


def test_line_ends_and_escapes_in_a_message_make_no_second_line() -> None:
    told = line("a\nb\r\n\u2028c %s", "\x1b[31mred \ud800")
    assert told["message"] == "a\nb\r\n\u2028c \x1b[31mred \ud800"
    assert told["ts"].endswith("Z")
    assert len(told["ts"]) == len("2026-03-01T12:00:00.123456Z")
    assert (told["level"], told["logger"]) == ("INFO", "lakegate.test")


def test_lines_say_what_they_are_about_and_only_while_it_lasts() -> None:
    with logged(dataset="flights", batch="b1", run_id="r", trace_id="t"):
        with logged(**file_fields("bucket", "landing/\n" + "x" * 500, "v1")):
            told = line("inside")
        between = line("between")
    assert {n: told[n] for n in ("dataset", "batch", "run_id", "trace_id", "version")} == {
        "dataset": "flights", "batch": "b1", "run_id": "r", "trace_id": "t", "version": "v1",
    }  # fmt: skip
    assert told["file"] == object_id("bucket", "landing/\n" + "x" * 500)
    assert len(told["key"]) == 200
    assert "file" not in between
    assert between["batch"] == "b1"
    assert "batch" not in line("after")


def test_no_account_number_is_in_a_line_wherever_it_comes_from() -> None:
    with logged(key=f"s3://lakegate-landing-{ACCOUNT}-eu-central-1/x"):
        told = line(
            f"arn:aws:iam::999999999999:role/ann may not; see {NAMES['LAKEGATE_QUEUE_URL']}, landing/202603011200/a.csv"
        )
    assert ACCOUNT not in json.dumps(told)
    assert "999999999999" not in json.dumps(told)
    # A number of twelve digits that is no account is left alone.
    assert "landing/202603011200/a.csv" in told["message"]
    assert account_numbers(NAMES) == {ACCOUNT}


def test_an_exception_is_part_of_its_line() -> None:
    try:
        raise ValueError(f"wrong\nin {ACCOUNT}")
    except ValueError:
        told = line("oh no", exc_info=sys.exc_info())
    assert told["error"] == "ValueError"
    assert "Traceback" in told["stack"]
    assert ACCOUNT not in told["stack"]


def test_a_record_that_cannot_be_put_into_words_is_a_line_too() -> None:
    assert line("%d files", "many")["message"] == "%d files (TypeError while it was put into words)"


def test_warnings_threads_and_what_nobody_caught_are_lines_too() -> None:
    code = (
        "import os, threading, warnings\nfrom lakegate.logs import configure_logging\nconfigure_logging(os.environ)\n"
        "warnings.warn('two\\nlines')\n"
        "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()\n"
        "raise RuntimeError('at the end')\n"
    )
    warned, thread, last = process(code)
    assert (warned["logger"], warned["level"]) == ("py.warnings", "WARNING")
    assert "two\nlines" in warned["message"]
    assert thread["error"] == "ZeroDivisionError"
    assert (last["level"], last["error"]) == ("CRITICAL", "RuntimeError")


def test_what_a_run_says_to_dagster_is_lines_with_the_run_and_nothing_else() -> None:
    code = (
        "import os\nfrom lakegate.logs import configure_logging\nconfigure_logging(os.environ)\n"
        "import dagster as dg\nfrom pipelines.telemetry.logs import logged\n"
        "@dg.op\ndef one(context):\n"
        "    with logged(batch='b1', trace_id='t1'):\n        context.log.info('loaded\\ntwo')\n"
        "@dg.job(executor_def=dg.in_process_executor)\ndef both():\n    one()\n"
        "print(both.execute_in_process(instance=dg.DagsterInstance.ephemeral()).success)\n"
    )
    told = process(code)
    [mine] = [t for t in told if t.get("batch")]
    assert "loaded\ntwo" in mine["message"]
    assert mine["trace_id"] == "t1"
    assert mine["run_id"]
    assert mine["step"] == "one"
    assert {t["logger"] for t in told} <= {"dagster", "py.warnings"}
    assert len(told) > 5


def test_settings_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="LAKEGATE_LOG is 'xml': it must be json or text"):
        configure_logging({"LAKEGATE_LOG": "xml"})
    with pytest.raises(ConfigurationError, match="LAKEGATE_LOG_LEVEL is 'LOUD'"):
        configure_logging({"LAKEGATE_LOG_LEVEL": "loud"})


def test_a_keeper_that_logs_json_is_as_light_as_one_that_does_not() -> None:
    code = (
        "import os, sys, logging\nfrom lakegate.logs import configure_logging\n"
        "configure_logging(os.environ, 'x', has_dagster=False)\n"
        "logging.info([m for m in ('dagster', 'pyarrow', 'boto3') if m in sys.modules])\n"
    )
    assert [t["message"] for t in process(code)] == ["[]"]


def test_text_leaves_everything_as_it_is() -> None:
    before = list(logging.getLogger().handlers), sys.excepthook
    configure_logging({})
    assert (list(logging.getLogger().handlers), sys.excepthook) == before
