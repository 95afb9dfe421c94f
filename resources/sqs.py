"""The event queue on SQS. A client is given; a receipt that is too old is no error, because the message comes again."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.ports import QueueMessage
from resources.environment import as_lakegate_error

__all__ = ["SqsEventQueue"]

_LONGEST_WAIT_S = 20
_MESSAGES_A_CALL = 10
# SQS may say so of a message that is visible again, or was deleted by another consumer.
_FORGIVEN = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"})
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class SqsEventQueue:
    """A standard SQS queue."""

    def __init__(self, client: Any, queue_url: str) -> None:
        """`client` is boto3's for sqs."""
        self._client = client
        self._url = queue_url

    def receive(self, wait_s: float, limit: int = 10) -> Sequence[QueueMessage]:
        """Up to ten messages; waits up to `wait_s` (at most 20) for the first."""
        try:
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=max(1, min(limit, _MESSAGES_A_CALL)),
                WaitTimeSeconds=max(0, min(round(wait_s), _LONGEST_WAIT_S)),
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )
        except (ClientError, BotoCoreError) as error:
            raise as_lakegate_error(error, f"receiving from {self._url}") from error
        return [
            QueueMessage(
                message_id=message["MessageId"],
                body=message["Body"],
                receipt=message["ReceiptHandle"],
                receive_count=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                sent_at=_moment(message.get("Attributes", {}).get("SentTimestamp")),
            )
            for message in answer.get("Messages", ())
        ]

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages for good, ten a call. A message that could not be deleted comes again: that is no error."""
        self._ten_by_ten(self._client.delete_message_batch, receipts, {}, "deleting messages of")

    def put_back(self, receipts: Sequence[str]) -> None:
        """Let messages be received again at once, ten a call; what cannot be put back comes again after its time."""
        now = {"VisibilityTimeout": 0}
        self._ten_by_ten(self._client.change_message_visibility_batch, receipts, now, "putting messages back into")

    def send(self, body: str) -> None:
        """Put a message in."""
        try:
            self._client.send_message(QueueUrl=self._url, MessageBody=body)
        except (ClientError, BotoCoreError) as error:
            raise as_lakegate_error(error, f"sending a message to {self._url}") from error

    def depth(self) -> int:
        """About how many messages are in it: SQS counts them with a delay of up to a minute."""
        try:
            answer = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=list(_COUNTS))
        except (ClientError, BotoCoreError) as error:
            raise as_lakegate_error(error, f"asking how many messages wait in {self._url}") from error
        return sum(int(answer["Attributes"][name]) for name in _COUNTS)

    def _ten_by_ten(self, call: Callable[..., Any], receipts: Sequence[str], more: dict[str, Any], what: str) -> None:
        for start in range(0, len(receipts), _MESSAGES_A_CALL):
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt, **more}
                for number, receipt in enumerate(receipts[start : start + _MESSAGES_A_CALL])
            ]
            try:
                call(QueueUrl=self._url, Entries=entries)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in _FORGIVEN:
                    raise as_lakegate_error(error, f"{what} {self._url}") from error
            except BotoCoreError as error:
                raise as_lakegate_error(error, f"{what} {self._url}") from error


def _moment(milliseconds: str | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
