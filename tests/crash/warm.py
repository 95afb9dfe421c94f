"""Imported by the fork server before it forks: what every process of the crash loop would import, load and make for itself.

Clients made here have spoken to nobody yet: they are as good as new in each process.
"""

import os
from pathlib import Path

import obstore  # noqa: F401
import pyiceberg.catalog.glue
import pyiceberg.table  # noqa: F401

import resources.athena
import resources.iceberg_columns  # noqa: F401
from resources.environment import client
from tests.crash import processes

for service in ("s3", "sqs", "dynamodb", "glue", "athena"):
    client(service)
processes.catalog(Path(os.environ["LAKEGATE_DATASETS"]))
