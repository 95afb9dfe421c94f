"""`lakegate setup`: the stack, and the wiring of a landing bucket that exists already; shown first, then done, then proved."""

import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakegate.cli.output import Exit, JsonOption, console, counted, errors, print_json, safe
from lakegate.settings import repository_root
from pipelines.errors import ConfigurationError
from pipelines.wiring.planning import Delivery, Output, Refused, Wanted, Wiring, configuration_id, plan_wiring

if TYPE_CHECKING:
    from pipelines.wiring.bucket import BucketSettings
    from pipelines.wiring.proof import Arrived, NotArrived
    from resources.deployment import PlannedChange
    from resources.environment import Deployment

__all__ = ["setup"]

_BUCKET, _DELIVERY = "ExistingLandingBucket", "Delivery"


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that would be done. `bucket`, `settings` and `wiring` are there for a bucket that exists already."""

    stack: str
    parameters: Mapping[str, str]
    changes: "tuple[PlannedChange, ...]"
    delivery: Delivery
    repair: bool
    bucket: str | None = None
    settings: "BucketSettings | None" = None
    wiring: Wiring | Refused | None = None

    @property
    def is_empty(self) -> bool:
        return not self.changes and not (isinstance(self.wiring, Wiring) and self.wiring.changes)


def setup(
    plan: Annotated[
        bool, typer.Option("--plan", help="Show what is there and what would change, and change nothing.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it, and prove by a test object that files are heard of.")
    ] = False,
    stack: Annotated[str, typer.Option("--stack", help="The CloudFormation stack.")] = "lakegate",
    landing_bucket: Annotated[
        str | None,
        typer.Option(
            "--landing-bucket", help="A bucket that exists already. Default: as before, or one that the stack makes."
        ),
    ] = None,
    delivery: Annotated[
        Delivery | None, typer.Option("--delivery", help="How events reach the queue. Default: as before, or direct.")
    ] = None,
    enable_versioning: Annotated[
        bool, typer.Option("--enable-versioning", help="Switch versioning on where the bucket keeps no versions.")
    ] = False,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", help="NAME=VALUE: another parameter of the template; it keeps its value."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put back, too, what somebody changed by hand (a drift-aware change set).")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, max=50, help="Seconds the proof waits for its event; 0: no proof.")
    ] = 30,
    as_json: JsonOption = False,
) -> None:
    """Create or update the stack of infra/lakegate.yaml, and have a bucket tell of its files, in the AWS the environment names.

    Without --plan or --apply it shows the plan and asks.
    """
    asks = not plan and not apply
    if plan and apply:
        raise ConfigurationError("Say --plan or --apply, not both: --plan changes nothing")
    if asks and (as_json or not sys.stdin.isatty() or not sys.stdout.isatty()):
        raise ConfigurationError(
            "Say --plan (shows what would change) or --apply (does it): nobody is there to be asked"
        )
    given = _parameters(landing_bucket, delivery, parameter or [])
    planned = _plan(stack, given, enable_versioning=enable_versioning, repair=repair)
    if plan or asks or isinstance(planned.wiring, Refused):
        if as_json:
            print_json(_document(planned))
        else:
            _show(planned)
        if isinstance(planned.wiring, Refused):
            _tell_refusal(planned.bucket, planned.wiring)
            raise typer.Exit(Exit.MISUSE)
        if plan:
            return
        if not typer.confirm("Do this?"):
            raise typer.Exit(Exit.MISUSE)
    deployment = _apply(planned)
    proof, leftover = _prove(deployment, wait) if wait else (None, None)
    if as_json:
        print_json(_result(planned, deployment, proof, leftover))
    else:
        _tell(planned, deployment, proof, leftover)
    if proof is not None and not _came(proof):
        raise typer.Exit(Exit.SYSTEM)


# ---- what to do ---------------------------------------------------------------------------------------------------


def _parameters(bucket: str | None, delivery: Delivery | None, others: list[str]) -> dict[str, str]:
    """What the template is told beyond what it was told before."""
    from lakegate.local.laptop import TEMPLATE_PARAMETERS
    from resources.environment import endpoint

    # An endpoint without TLS is a laptop's: the template's defaults are made for AWS.
    given = dict(TEMPLATE_PARAMETERS) if (endpoint("cloudformation") or "").startswith("http://") else {}
    for text in others:
        name, equals, value = text.partition("=")
        if not equals or not name.isalnum():
            raise ConfigurationError(f"--parameter {text!r} is not NAME=VALUE")
        if name in (_BUCKET, _DELIVERY):
            raise ConfigurationError(f"--parameter {name}: use --landing-bucket and --delivery")
        given[name] = value
    if bucket is not None:
        given[_BUCKET] = bucket
    if delivery is not None:
        given[_DELIVERY] = delivery.value
    return given


def _plan(stack: str, given: Mapping[str, str], *, enable_versioning: bool, repair: bool) -> _Plan:
    from resources.deployment import plan as plan_changes
    from resources.deployment import stack_parameters

    known = {**stack_parameters(stack), **given}
    bucket, delivery = known.get(_BUCKET) or None, Delivery(known.get(_DELIVERY, Delivery.DIRECT))
    settings, wiring = None, None
    if bucket is not None:
        # Before the stack is looked at: a bucket that cannot be used is the first thing to hear of.
        settings, wiring = _plan_bucket(bucket, stack, delivery, enable_versioning=enable_versioning)
    changes = plan_changes(stack, _template(), given, repair=repair)
    return _Plan(stack, given, changes, delivery, repair, bucket, settings, wiring)


def _plan_bucket(
    bucket: str, stack: str, delivery: Delivery, *, enable_versioning: bool
) -> "tuple[BucketSettings, Wiring | Refused]":
    from resources.environment import region
    from resources.landing_bucket import caller, read_notifications, read_settings

    account, partition = caller()
    settings = read_settings(bucket, account)
    if settings.region != region():
        raise ConfigurationError(
            f"The bucket {bucket} is in {settings.region}, and this is {region()}: a bucket tells a queue of its own region only. "
            f"Set AWS_REGION={settings.region}."
        )
    # The names are those the template gives: a plan can be made before there is a stack.
    queue = f"arn:{partition}:sqs:{settings.region}:{account}:{stack}-events"
    topic = f"arn:{partition}:sns:{settings.region}:{account}:{stack}-landing-events"
    made = f"{account}-{settings.region}"
    outputs = (
        Output("the tables", f"{stack}-processed-{made}"),
        Output("quarantined files", f"{stack}-quarantine-{made}"),
        *((settings.logs_to,) if settings.logs_to else ()),
    )
    wanted = Wanted(
        id=configuration_id(stack),
        bucket=bucket,
        delivery=delivery,
        target=topic if delivery is Delivery.SNS else queue,
        outputs=outputs,
        enable_versioning=enable_versioning,
    )
    return settings, plan_wiring(read_notifications(bucket, account), settings.versioning, wanted)


def _apply(planned: _Plan) -> "Deployment":
    from resources.deployment import deploy
    from resources.landing_bucket import caller, put_wiring, switch_versioning_on

    wiring, bucket = planned.wiring, planned.bucket
    account = caller()[0] if bucket else ""
    enables = isinstance(wiring, Wiring) and wiring.enables_versioning
    deployment = deploy(
        planned.stack, _template(), planned.parameters, needs_versions=not enables, repair=planned.repair
    ).deployment
    if bucket and enables:
        switch_versioning_on(bucket, account)
    if bucket and isinstance(wiring, Wiring) and not wiring.before.same_as(wiring.after):
        put_wiring(wiring, bucket, account)
    return deployment


def _prove(deployment: "Deployment", limit_s: float) -> "tuple[Arrived | NotArrived, str | None]":
    """The proof, and what is left of it where the test object could not be removed."""
    from pipelines.accounting.ledger import Ledger
    from pipelines.wiring.proof import prove_wiring
    from resources.clock import utc_now
    from resources.dynamodb import DynamoItemStore
    from resources.environment import client
    from resources.landing_bucket import land_test_object
    from resources.sqs import SqsEventQueue

    test_id = uuid.uuid4().hex
    remove: list[Callable[[], str | None]] = []
    left: list[str | None] = []
    try:
        proof = prove_wiring(
            SqsEventQueue(client("sqs"), deployment.queue_url),
            Ledger(DynamoItemStore(client("dynamodb"), deployment.ledger_table), utc_now),
            deployment.landing_bucket,
            test_id,
            lambda: remove.append(land_test_object(deployment.landing_bucket, test_id)),
            limit_s=limit_s,
        )
    finally:
        left += [one() for one in remove]
    return proof, next(iter(left), None)


def _template() -> Any:
    return repository_root() / "infra" / "lakegate.yaml"


def _came(proof: "Arrived | NotArrived") -> bool:
    from pipelines.wiring.proof import Arrived

    return isinstance(proof, Arrived)


# ---- what is said -------------------------------------------------------------------------------------------------


def _show(planned: _Plan) -> None:
    from pipelines.wiring.bucket import remarks

    if planned.bucket and planned.settings:
        settings, wiring = planned.settings, planned.wiring
        console.print(f"[bold]The landing bucket {safe(planned.bucket)}[/bold] (exists, {safe(settings.region)})")
        console.print(f"  versioning    {safe(settings.versioning or 'off')}")
        if isinstance(wiring, Wiring):
            console.print(f"  delivery      {planned.delivery}")
            for mark, ones in (("keep", wiring.kept), ("remove", wiring.removed), ("add", wiring.added)):
                for one in ones:
                    console.print(f"  {mark:<13} {safe(one.id)}: {safe(one.sentence())}")
            if wiring.switches_eventbridge:
                console.print("  switch on     EventBridge for every event of the bucket")
            if wiring.enables_versioning:
                console.print("  switch on     versioning")
            if not wiring.changes:
                console.print("  No changes: the bucket tells of its files already.")
            for note in wiring.notes:
                console.print(f"  note          {safe(note)}")
        for remark in remarks(settings):
            console.print(f"  [yellow]look at[/yellow]       {safe(remark.found)}: {safe(remark.todo)}")
    if isinstance(planned.wiring, Refused):
        return
    console.print(f"[bold]The stack {safe(planned.stack)}[/bold]")
    for change in planned.changes:
        console.print(f"  {safe(change)}")
    console.print(
        f"  {counted(len(planned.changes), 'change')}; nothing was changed."
        if planned.changes
        else "  No changes: the stack is as the template says."
    )


def _tell_refusal(bucket: str | None, refused: Refused) -> None:
    errors.print(f"[red]lakegate:[/red] The bucket {safe(bucket)} cannot be wired, and nothing was changed:")
    for reason in refused.reasons:
        errors.print(f"  - {safe(reason.found)}.")
        errors.print(f"    [bold]to do:[/bold] {safe(reason.todo)}.")


def _document(planned: _Plan) -> dict[str, Any]:
    from pipelines.wiring.bucket import remarks

    document: dict[str, Any] = {
        "version": 1,
        "stack": planned.stack,
        "changes": [str(change) for change in planned.changes],
        "delivery": planned.delivery.value,
    }
    if planned.bucket and planned.settings:
        document["bucket"] = {
            "name": planned.bucket,
            "versioning": planned.settings.versioning or "off",
            "remarks": [{"found": one.found, "todo": one.todo} for one in remarks(planned.settings)],
            "wiring": _wiring_document(planned.wiring),
        }
    return document


def _wiring_document(wiring: Wiring | Refused | None) -> dict[str, Any] | None:
    match wiring:
        case Wiring():
            return {
                "kept": [one.document() for one in wiring.kept],
                "removed": [one.document() for one in wiring.removed],
                "added": [one.document() for one in wiring.added],
                "switches_eventbridge": wiring.switches_eventbridge,
                "enables_versioning": wiring.enables_versioning,
                "notes": list(wiring.notes),
            }
        case Refused():
            return {"refused": [{"found": one.found, "todo": one.todo} for one in wiring.reasons]}
        case None:
            return None


def _result(
    planned: _Plan, deployment: "Deployment", proof: "Arrived | NotArrived | None", leftover: str | None
) -> dict[str, Any]:
    from pipelines.wiring.proof import Arrived

    told: dict[str, Any] | None = None
    if proof is not None:
        told = {"arrived": _came(proof), "after_s": round(proof.after_s, 3), "leftover": leftover}
        if isinstance(proof, Arrived):
            told["by_sensor"] = proof.by_sensor
    return {
        **_document(planned),
        "changed": not planned.is_empty,
        "environment": deployment.to_environment(),
        "proof": told,
    }


def _tell(planned: _Plan, deployment: "Deployment", proof: "Arrived | NotArrived | None", leftover: str | None) -> None:
    from pipelines.wiring.proof import Arrived

    console.print(f"The stack {safe(planned.stack)} is {'deployed' if planned.changes else 'as the template says'}.")
    if planned.bucket and isinstance(planned.wiring, Wiring):
        changed = "tells of its files now" if planned.wiring.changes else "told of its files before, and does"
        console.print(f"The bucket {safe(planned.bucket)} {changed} ({planned.delivery}).")
    if isinstance(proof, Arrived):
        who = "the landing sensor took it" if proof.by_sensor else "no sensor took it before us"
        console.print(f"[green]Proved:[/green] the event of a test object came after {proof.after_s:.1f} s ({who}).")
    elif proof is not None:
        others = f" {counted(proof.others, 'message')} of others came." if proof.others else ""
        console.print(
            f"[red]Not proved:[/red] a test object was put, and its event did not come in {proof.after_s:.0f} s.{others}\n"
            "  `lakegate doctor` says which link of the chain is broken. A bucket whose notifications are new may take a few minutes: "
            "run `lakegate setup --apply` again."
        )
    if leftover:
        console.print(f"[yellow]left:[/yellow] {safe(leftover)}")
    for name, value in deployment.to_environment().items():
        console.print(f"  export {safe(name)}={safe(value)}")
