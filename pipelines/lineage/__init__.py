"""Lineage for tools outside Dagster: what each batch read and wrote, described in the terms of the OpenLineage specification.

`news.py` is what a worker tells and the port it tells it to, `describe.py` makes a description of it, `resources/openlineage.py` sends that.
"""
