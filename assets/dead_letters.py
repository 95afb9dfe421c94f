"""The dead letters as an asset: a table of reasons that people see, and a check that is red while there are any.

The sensor tells both; no run makes them. What stands in messages comes from strangers: here it is escaped for Markdown, and
whole bodies never come here. Dagster resolves annotations: none from the future.
"""

from collections.abc import Iterable

import dagster as dg

from assets.keys import OPERATIONS, counted
from pipelines.intake.dead_letters import DeadLetter, DeadLetterKind, DeadLetters
from pipelines.printable import markdown

__all__ = ["build_dead_letters", "check_evaluation", "materialization"]

KEY = dg.AssetKey(["operations", "dead_letters"])
CHECK = "no_dead_letters"
_NEVER_LOOKED = "the dead-letter sensor has not looked yet: is it running?"


def build_dead_letters() -> tuple[dg.AssetSpec, dg.AssetChecksDefinition]:
    """Make the asset and its check. Run by hand, the check repeats what the sensor saw last."""
    spec = dg.AssetSpec(
        KEY,
        description="Messages that were received five times and could not be taken: not understood, of another bucket, without a "
        "version, or left by a fault of ours. Each stays 14 days. `lakegate dlq list` names them, `lakegate dlq redrive` sends them back.",
        group_name="operations",
        tags=OPERATIONS,
        kinds={"sqs"},
    )

    @dg.asset_check(asset=KEY, name=CHECK, description="No message waits among the dead letters.")
    def no_dead_letters(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        event = context.instance.get_latest_materialization_event(KEY)
        seen = event.asset_materialization if event is not None else None
        if seen is None:
            return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=_NEVER_LOOKED)
        count = seen.metadata["dead letters"].value
        return dg.AssetCheckResult(
            passed=count == 0, metadata=seen.metadata, description=seen.description, severity=_SEVERITY
        )

    return spec, no_dead_letters


_SEVERITY = dg.AssetCheckSeverity.ERROR


def materialization(found: DeadLetters) -> dg.AssetMaterialization:
    """What a look came to, for the asset's page."""
    return dg.AssetMaterialization(KEY, description=_sentence(found), metadata=_metadata(found))


def check_evaluation(found: DeadLetters) -> dg.AssetCheckEvaluation:
    """The same as the verdict of the check."""
    return dg.AssetCheckEvaluation(
        asset_key=KEY,
        check_name=CHECK,
        passed=not found.total,
        severity=_SEVERITY,
        description=_sentence(found),
        metadata=_metadata(found),
    )


def _sentence(found: DeadLetters) -> str:
    if not found.total:
        return "There are no dead letters."
    kinds = ", ".join(f"{number:,} {kind.value}" for kind, number in sorted(found.counts().items()))
    more = "" if found.all_seen else f" among the {len(found.letters):,} looked at"
    return f"{counted(found.total, 'dead letter')}: {kinds}{more}. See `lakegate dlq list`."


def _metadata(found: DeadLetters) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {"dead letters": dg.MetadataValue.int(found.total)}
    if found.letters:
        rows = [_row(kind, [x for x in found.letters if x.reason.kind is kind]) for kind in sorted(found.counts())]
        head = "| reason | letters | oldest (UTC) | an example | what to do |\n|---|---:|---|---|---|\n"
        metadata["reasons"] = dg.MetadataValue.md(head + "\n".join(rows))
    return metadata


def _row(kind: DeadLetterKind, letters: Iterable[DeadLetter]) -> str:
    alike = list(letters)
    sent = min((letter.sent_at for letter in alike if letter.sent_at is not None), default=None)
    example = alike[0].reason
    shown = markdown(example.why if example.key is None else f"{example.key}: {example.why}", 300)
    oldest = f"{sent:%Y-%m-%d %H:%M:%S}" if sent is not None else ""
    return f"| {markdown(kind.value)} | {len(alike):,} | {oldest} | {shown} | {kind.remedy} |"
