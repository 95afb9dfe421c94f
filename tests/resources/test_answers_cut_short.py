"""An answer that was cut short is a fault that passes, never an answer that nothing is there: the SDK itself takes it for that."""

from collections.abc import Iterator

import pytest

from pipelines.errors import TransientError
from pipelines.ports import ItemKey
from resources import environment
from resources.dynamodb import DynamoItemStore
from tests.faults.proxy import FaultyAws, Rule, Truncate

pytestmark = pytest.mark.aws


@pytest.fixture
def cut_short(
    deployment: environment.Deployment, local_aws: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[DynamoItemStore]:
    """The ledger's table behind a proxy that gives the first half of each answer, as a whole one."""
    with FaultyAws(local_aws["AWS_ENDPOINT_URL"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.reset(
            Rule(Truncate(), "dynamodb", "Query", "", times=99),
            Rule(Truncate(), "dynamodb", "BatchGetItem", "", times=99),
        )
        yield DynamoItemStore(environment.client("dynamodb"), deployment.ledger_table)


def test_a_query_cut_short_is_not_an_empty_partition(cut_short: DynamoItemStore) -> None:
    with pytest.raises(TransientError):
        cut_short.query("batch#1", prefix="members#")


def test_a_read_cut_short_is_not_an_absent_item(cut_short: DynamoItemStore) -> None:
    with pytest.raises(TransientError):
        cut_short.get([ItemKey("batch#1", "batch")])
