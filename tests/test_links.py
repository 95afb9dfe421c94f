"""Addresses in messages: whole where the deployment says where its pages are, and none where it does not."""

import pytest

from pipelines.errors import ConfigurationError
from pipelines.links import Links


def test_links_of_a_deployment_that_says_where_its_pages_are() -> None:
    links = Links.of(
        {
            "LAKEGATE_DAGSTER_URL": "https://dagster.example/",
            "LAKEGATE_DOCS_URL": "https://docs.example/lakegate",
            "LAKEGATE_DATASETS_URL": "https://git.example/blob/main/assets/datasets",
        }
    )
    assert links.dataset_file("orders") == "https://git.example/blob/main/assets/datasets/orders.yaml"
    assert links.run("ab-1") == "https://dagster.example/runs/ab-1"
    assert links.asset(["quarantine", "a b"], partition="2026-03-01") == (
        "https://dagster.example/assets/quarantine/a%20b?view=overview&partition=2026-03-01"
    )
    assert links.page("operating.md", "dead-letters") == "https://docs.example/lakegate/operating.md#dead-letters"


def test_without_addresses_pages_are_paths_and_the_rest_is_not_linked() -> None:
    links = Links.of({})
    assert links.run("ab-1") is None
    assert links.asset(["orders"]) is None
    assert links.dataset_file("orders") is None
    assert links.page("operating.md") == "docs/operating.md"


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="LAKEGATE_DAGSTER_URL is 'javascript:1'"):
        Links.of({"LAKEGATE_DAGSTER_URL": "javascript:1"})


def test_an_object_is_on_the_page_of_the_console_or_under_the_endpoint_that_is_named() -> None:
    key = "quarantine/a b/report.json"
    assert Links().object("bucket", key) == (
        "https://console.aws.amazon.com/s3/object/bucket?prefix=quarantine%2Fa%20b%2Freport.json"
    )
    named = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/"}
    assert Links.of(named).object("bucket", key) == "http://127.0.0.1:4566/bucket/quarantine/a%20b/report.json"
    named["AWS_ENDPOINT_URL_S3"] = "http://127.0.0.1:9000"
    assert Links.of(named).object("bucket", "k") == "http://127.0.0.1:9000/bucket/k"
