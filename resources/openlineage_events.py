"""From an event as a value to OpenLineage's own classes, facet by facet. Import it only where lineage is told."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

from openlineage.client import event_v2 as ol
from openlineage.client import facet_v2 as facets
from openlineage.client.generated.base import DatasetFacet, InputDatasetFacet, JobFacet, OutputDatasetFacet, RunFacet

from pipelines.lineage.events import Assertion, EventDataset, Field, InputField, JobRun, RunEvent

__all__ = ["PRODUCER", "run_event"]

PRODUCER = "urn:lakegate"
_INTEGRATION = "LAKEGATE"
_Facet = TypeVar("_Facet")


def run_event(event: RunEvent) -> ol.RunEvent:
    """The event, ready to be sent."""
    producer = f"{PRODUCER}:{event.version}"
    ol.set_producer(producer)
    return ol.RunEvent(
        eventType=ol.RunState(event.state.value),
        eventTime=_time(event.at),
        producer=producer,
        run=ol.Run(event.run.run_id, _run_facets(event)),
        job=ol.Job(event.run.namespace, event.run.job, _job_facets(event)),
        inputs=[_input(one) for one in event.inputs],
        outputs=[_output(one) for one in event.outputs],
    )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _some(found: Mapping[str, _Facet | None]) -> dict[str, _Facet]:
    return {name: facet for name, facet in found.items() if facet is not None}


def _run_facets(event: RunEvent) -> dict[str, RunFacet]:
    tags = [facets.tags_run.TagsRunFacetFields(key, value, _INTEGRATION) for key, value in event.tags.items()]
    error = event.error
    return _some(
        {
            "nominalTime": facets.nominal_time_run.NominalTimeRunFacet(
                _time(event.nominal_start), _time(event.nominal_end)
            ),
            "parent": None if event.parent is None else _parent(event.parent),
            "processing_engine": facets.processing_engine_run.ProcessingEngineRunFacet(event.version, "Lakegate"),
            "tags": facets.tags_run.TagsRunFacet(tags),
            "errorMessage": None if error is None else facets.error_message_run.ErrorMessageRunFacet(error, "python"),
        }
    )


def _parent(parent: JobRun) -> facets.parent_run.ParentRunFacet:
    run, job = facets.parent_run.Run(parent.run_id), facets.parent_run.Job(parent.namespace, parent.job)
    return facets.parent_run.ParentRunFacet(run, job)


def _job_facets(event: RunEvent) -> dict[str, JobFacet]:
    owner, source = event.owner, event.source_url
    return _some(
        {
            "documentation": facets.documentation_job.DocumentationJobFacet(event.description, "text/plain"),
            "jobType": facets.job_type_job.JobTypeJobFacet("BATCH", _INTEGRATION, "JOB"),
            "ownership": None
            if owner is None
            else facets.ownership_job.OwnershipJobFacet([facets.ownership_job.Owner(owner)]),
            "sourceCodeLocation": None
            if source is None
            else facets.source_code_location_job.SourceCodeLocationJobFacet("git", source),
        }
    )


def _input(dataset: EventDataset) -> ol.InputDataset:
    found = dataset.statistics
    metrics = dataset.metrics
    of_input: dict[str, InputDatasetFacet | None] = {
        "inputStatistics": None
        if found is None
        else facets.input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
            found.rows, found.size_bytes, found.files
        ),
        "dataQualityMetrics": None
        if metrics is None
        else facets.data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
            {
                name: facets.data_quality_metrics_input_dataset.ColumnMetrics(nulls, quantiles=None)
                for name, nulls in metrics.nulls.items()
            },
            rowCount=metrics.rows,
            bytes=metrics.size_bytes,
            fileCount=metrics.files,
        ),
        "dataQualityAssertions": facets.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            [_assertion(one) for one in dataset.assertions]
        )
        if dataset.assertions
        else None,
    }
    return ol.InputDataset(
        dataset.name.namespace, dataset.name.name, inputFacets=_some(of_input), facets=_dataset_facets(dataset)
    )


def _output(dataset: EventDataset) -> ol.OutputDataset:
    found, metrics = dataset.statistics, dataset.metrics
    of_output: dict[str, OutputDatasetFacet | None] = {
        "outputStatistics": None
        if found is None
        else facets.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            found.rows, found.size_bytes, found.files
        )
    }
    of_dataset = _dataset_facets(dataset)
    if metrics is not None:
        of_dataset["dataQualityMetrics"] = facets.data_quality_metrics_dataset.DataQualityMetricsDatasetFacet(
            {
                name: facets.data_quality_metrics_dataset.ColumnMetrics(nulls, quantiles=None)
                for name, nulls in metrics.nulls.items()
            },
            rowCount=metrics.rows,
            bytes=metrics.size_bytes,
            fileCount=metrics.files,
        )
    return ol.OutputDataset(dataset.name.namespace, dataset.name.name, outputFacets=_some(of_output), facets=of_dataset)


def _dataset_facets(dataset: EventDataset) -> dict[str, DatasetFacet]:
    alias, owner, change = dataset.also_known_as, dataset.owner, dataset.change
    tags = [facets.tags_dataset.TagsDatasetFacetFields(k, v, _INTEGRATION) for k, v in dataset.tags.items()]
    return _some(
        {
            "datasetType": facets.dataset_type_dataset.DatasetTypeDatasetFacet(dataset.type),
            "documentation": None
            if dataset.description is None
            else facets.documentation_dataset.DocumentationDatasetFacet(dataset.description, "text/plain"),
            "ownership": None
            if owner is None
            else facets.ownership_dataset.OwnershipDatasetFacet([facets.ownership_dataset.Owner(owner)]),
            "version": None
            if dataset.version is None
            else facets.dataset_version_dataset.DatasetVersionDatasetFacet(dataset.version),
            "symlinks": None
            if alias is None
            else facets.symlinks_dataset.SymlinksDatasetFacet(
                [facets.symlinks_dataset.Identifier(alias.namespace, alias.name, "LOCATION")]
            ),
            "storage": facets.storage_dataset.StorageDatasetFacet("iceberg", "parquet") if dataset.iceberg else None,
            "schema": facets.schema_dataset.SchemaDatasetFacet(_columns(dataset.fields)) if dataset.fields else None,
            "columnLineage": _column_lineage(dataset.column_lineage) if dataset.column_lineage else None,
            "lifecycleStateChange": None
            if change is None
            else facets.lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
                facets.lifecycle_state_change_dataset.LifecycleStateChange(change.value)
            ),
            "tags": facets.tags_dataset.TagsDatasetFacet(tags) if tags else None,
        }
    )


def _columns(fields: tuple[Field, ...]) -> list[facets.schema_dataset.SchemaDatasetFacetFields]:
    return [
        facets.schema_dataset.SchemaDatasetFacetFields(
            one.name, one.type, one.description, position, _columns(one.fields) or None
        )
        for position, one in enumerate(fields, start=1)
    ]


def _column_lineage(
    lineage: Mapping[str, tuple[InputField, ...]],
) -> facets.column_lineage_dataset.ColumnLineageDatasetFacet:
    of = facets.column_lineage_dataset
    return of.ColumnLineageDatasetFacet(
        {
            column: of.Fields(
                [
                    of.InputField(
                        source.dataset.namespace,
                        source.dataset.name,
                        source.field,
                        [of.Transformation("DIRECT", source.subtype, source.description, masking=False)],
                    )
                    for source in sources
                ]
            )
            for column, sources in lineage.items()
        }
    )


def _assertion(one: Assertion) -> facets.data_quality_assertions_dataset.Assertion:
    return facets.data_quality_assertions_dataset.Assertion(
        one.assertion,
        one.success,
        column=one.column,
        severity=one.severity,
        name=one.name,
        description=one.description,
        expected=one.expected,
        actual=one.actual,
        content=one.content,
        contentType=None if one.content is None else "expression",
        params={"consequence": one.consequence},
    )
