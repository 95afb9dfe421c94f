"""The event queue on SQS. A client is given; a receipt that is too old is no error, because the message comes again."""

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.ports import QueueMessage
from resources.environment import as_lakegate_error

__all__ = ["SqsEventQueue"]

_LONGEST_WAIT_S = 20
_MESSAGES_A_CALL = 10
# SQS may say so of a message that is visible again, or was deleted by another consumer.
_FORGIVEN = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"})


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
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        except (ClientError, BotoCoreError) as error:
            raise as_lakegate_error(error, f"receiving from {self._url}") from error
        return [
            QueueMessage(
                message_id=message["MessageId"],
                body=message["Body"],
                receipt=message["ReceiptHandle"],
                receive_count=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for message in answer.get("Messages", ())
        ]

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages for good, ten a call. A message that could not be deleted comes again: that is no error."""
        for start in range(0, len(receipts), _MESSAGES_A_CALL):
            entries = [
                {"Id": str(number), "ReceiptHandle": receipt}
                for number, receipt in enumerate(receipts[start : start + _MESSAGES_A_CALL])
            ]
            try:
                self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in _FORGIVEN:
                    raise as_lakegate_error(error, f"deleting messages of {self._url}") from error
            except BotoCoreError as error:
                raise as_lakegate_error(error, f"deleting messages of {self._url}") from error
