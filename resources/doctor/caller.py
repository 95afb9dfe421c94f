"""Whose credentials these are, and whether this machine's clock is right: AWS refuses what is signed five minutes off."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from pipelines.errors import ConfigurationError
from pipelines.ports import Clock
from pipelines.wiring.diagnosis import Finding
from resources.aws_errors import without_account_ids
from resources.doctor.looking import code_of
from resources.environment import as_lakegate_error, client, region

__all__ = ["look_at_clock", "look_at_credentials"]

# The Date header counts whole seconds, and the answer is on its way for a while.
_NOTICED = timedelta(seconds=2)
_REFUSED = timedelta(minutes=5)
_CLOCK = "set it by NTP (chrony, systemd-timesyncd); leases and signatures are made with it"


def look_at_credentials() -> Finding:
    """Who is asking; without the account's number."""
    try:
        answer = client("sts").get_caller_identity()
    except ConfigurationError as error:
        return Finding.wrong(str(error), "a region", "set AWS_REGION")
    except NoCredentialsError:
        return Finding.wrong(
            "there are no credentials", "a profile, a log-in or a role", "set AWS_PROFILE, log in, or run under a role"
        )
    except ClientError as error:
        said = without_account_ids(error.response.get("Error", {}).get("Message", ""))
        return Finding.wrong(
            f"AWS does not take them: {code_of(error)}: {said}",
            "credentials that AWS takes",
            "log in again, or check what AWS_PROFILE names",
        )
    except BotoCoreError as error:
        raise as_lakegate_error(error, "asking AWS whose credentials these are") from error
    who = str(answer["Arn"]).rsplit(":", 1)[-1]
    return Finding.ok(f"{who} in {region()}")


def look_at_clock(clock: Clock) -> Finding:
    """How far this machine's clock is from that of AWS, by the Date of an answer, whatever the answer is."""
    before = clock()
    try:
        headers = client("sts").get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]
    except ClientError as error:
        headers = _headers(error)
    except BotoCoreError as error:
        raise as_lakegate_error(error, "asking AWS for the time") from error
    after = clock()
    if "date" not in headers:
        return Finding.unknown("the answer has no Date", "look at the clock by hand")
    theirs = parsedate_to_datetime(headers["date"]).astimezone(UTC)
    # Their second may be anywhere between the moment we asked and the moment we had the answer.
    off = _beyond(before - timedelta(seconds=1), theirs, after)
    shown = f"{abs(off).total_seconds():,.0f} s {'ahead of' if off > timedelta(0) else 'behind'} AWS"
    if abs(off) > _REFUSED:
        return Finding.wrong(
            f"this machine's clock is {shown}", "at most 5 minutes: AWS refuses what is signed further off", _CLOCK
        )
    if abs(off) > _NOTICED:
        return Finding.warning(f"this machine's clock is {shown}", "the same time to a second", _CLOCK)
    return Finding.ok("the same time as AWS")


def _headers(error: ClientError) -> Mapping[str, Any]:
    return error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})


def _beyond(earliest: datetime, moment: datetime, latest: datetime) -> timedelta:
    """How far ours lies ahead of the moment; nothing when the moment is between."""
    if moment < earliest:
        return earliest - moment
    return timedelta(0) if moment <= latest else latest - moment
