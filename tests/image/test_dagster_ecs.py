"""infra/dagster-ecs.yaml, read as text: what must hold on AWS and cannot be seen on this machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakegate.listening import PROXY_FLAG
from lakegate.local.laptop import TEMPLATE as DATA_TEMPLATE
from resources.environment import DEPLOYMENT_VARIABLES
from tests.image.dockerfile import ROOT
from tests.image.ecs import SERVICES, TEMPLATE, container, template

RESOURCES: dict[str, Any] = template()["Resources"]
DAGSTER = yaml.safe_load((ROOT / "infra" / "dagster.yaml").read_text())


def properties(name: str) -> dict[str, Any]:
    return RESOURCES[name]["Properties"]


def of_type(kind: str) -> dict[str, Any]:
    return {name: made["Properties"] for name, made in RESOURCES.items() if made["Type"] == kind}


def variables(service: str) -> set[str]:
    return {entry["Name"] for entry in container(service)["Environment"]}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    else:
        yield str(value)


def test_cfn_lint_finds_nothing() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    found = subprocess.run([lint, TEMPLATE], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert TEMPLATE.stat().st_size < 46_000


@pytest.mark.parametrize("service", ["Daemon", "Code"])
def test_there_are_never_two(service: str) -> None:
    said = properties(service)
    assert said["DesiredCount"] == 1
    assert said["DeploymentConfiguration"]["MinimumHealthyPercent"] == 0
    assert said["DeploymentConfiguration"]["MaximumPercent"] == 100
    assert said["AvailabilityZoneRebalancing"] == "DISABLED"
    scaled = [target["ResourceId"] for target in of_type("AWS::ApplicationAutoScaling::ScalableTarget").values()]
    assert scaled == [{"Sub": "service/${Cluster}/${Workers.Name}"}]


@pytest.mark.parametrize("service", SERVICES)
def test_every_task_has_a_read_only_root_no_public_address_no_right_of_linux_and_a_health_check(service: str) -> None:
    own = container(service)
    assert own["ReadonlyRootFilesystem"] is True
    assert [mount["ContainerPath"] for mount in own["MountPoints"]] == ["/tmp"]
    assert own["LinuxParameters"] == {"InitProcessEnabled": True, "Capabilities": {"Drop": ["ALL"]}}
    assert own["HealthCheck"]["Retries"] >= 2
    assert "@${ImageDigest}" in own["Image"]["Sub"]
    assert properties(service)["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"
    assert properties(service)["DeploymentConfiguration"]["DeploymentCircuitBreaker"] == {
        "Enable": True,
        "Rollback": True,
    }


@pytest.mark.parametrize("service", SERVICES)
def test_secrets_come_from_secrets_manager_and_no_variable_holds_one(service: str) -> None:
    own = container(service)
    for entry in own["Environment"]:
        assert not re.search("PASSWORD|SECRET|TOKEN|PGUSER", entry["Name"])
    assert {entry["Name"] for entry in own["Secrets"] if "Name" in entry} == {"PGUSER", "PGPASSWORD"}
    optional = {entry["If"][1]["Name"] for entry in own["Secrets"] if "If" in entry}
    assert optional == ({"LAKEGATE_ALERT_WEBHOOK", "LAKEGATE_ALERT_WEBHOOK_SECRET"} if service == "Code" else set())


def test_who_works_on_files_knows_the_whole_deployment_and_nobody_else_does() -> None:
    whole = DEPLOYMENT_VARIABLES - {"LAKEGATE_STACK"}
    for service in ("Code", "Workers"):
        assert whole | {"LAKEGATE_METRICS"} <= variables(service)
    for service in ("Web", "Daemon"):
        assert whole & variables(service) == {"LAKEGATE_RUN_QUEUE_URL"}


def test_the_names_of_the_data_stack_are_composed_as_it_composes_them() -> None:
    data = DATA_TEMPLATE.read_text()
    composed = {
        text for service in SERVICES for text in strings(container(service)["Environment"]) if "DataStack}" in text
    }
    composed |= {text for text in strings(properties("DaemonRole")) if "DataStack}" in text}
    assert len(composed) == 9
    for text in composed:
        [name] = re.findall(r"\$\{DataStack\}\S*$", text)
        assert f'"{name.replace("DataStack", "AWS::StackName")}"' in data, text
    queue = next(text for text in composed if text.startswith("https://sqs."))
    assert queue.startswith("https://sqs.${AWS::Region}.${AWS::URLSuffix}/${AWS::AccountId}/")


def test_the_web_server_may_do_nothing_in_aws_and_the_daemon_one_thing() -> None:
    assert properties("WebTask")["TaskRoleArn"] == {"GetAtt": "WebRole.Arn"}
    assert properties("DaemonTask")["TaskRoleArn"] == {"GetAtt": "DaemonRole.Arn"}
    assert properties("CodeTask")["TaskRoleArn"] == {"Ref": "SensorRoleArn"}
    assert properties("WorkersTask")["TaskRoleArn"] == {"Ref": "RunRoleArn"}
    assert "Policies" not in properties("WebRole")
    assert "ManagedPolicyArns" not in json.dumps(of_type("AWS::IAM::Role"))
    [daemon] = properties("DaemonRole")["Policies"][0]["PolicyDocument"]["Statement"]
    assert daemon["Action"] == ["sqs:GetQueueAttributes", "sqs:SendMessage"]
    assert daemon["Resource"]["Sub"].endswith(":${DataStack}-runs")
    for statement in properties("ExecutionRole")["Policies"][0]["PolicyDocument"]["Statement"]:
        assert statement["Resource"] != "*" or statement["Action"] == "ecr:GetAuthorizationToken"


def test_nobody_reaches_the_pages_without_a_login_and_nobody_but_the_balancer_reaches_the_web_server() -> None:
    [listener] = of_type("AWS::ElasticLoadBalancingV2::Listener").values()
    assert (listener["Protocol"], listener["Port"]) == ("HTTPS", 443)
    assert [action["Type"] for action in listener["DefaultActions"]] == ["authenticate-oidc", "forward"]
    assert listener["DefaultActions"][0]["AuthenticateOidcConfig"]["OnUnauthenticatedRequest"] == "authenticate"
    assert of_type("AWS::ElasticLoadBalancingV2::ListenerRule") == {}
    reached = {
        (name, rule["FromPort"], rule["ToPort"]): rule.get("SourceSecurityGroupId") or rule["CidrIp"]
        for name, group in of_type("AWS::EC2::SecurityGroup").items()
        for rule in group.get("SecurityGroupIngress", [])
    }
    assert reached == {
        ("BalancerGroup", 443, 443): {"Ref": "AllowedCidr"},
        ("WebGroup", 3000, 3000): {"Ref": "BalancerGroup"},
        ("CodeGroup", 4000, 4000): {"Ref": "CallerGroup"},
        ("DatabaseGroup", 5432, 5432): {"Ref": "TaskGroup"},
    }
    assert all("SecurityGroupEgress" in group for group in of_type("AWS::EC2::SecurityGroup").values())
    assert template()["Parameters"]["BalancerScheme"]["Default"] == "internal"
    assert [service for service in SERVICES if PROXY_FLAG in container(service)["Command"]] == ["Web"]


def test_postgres_is_encrypted_private_backed_up_and_keeps_its_password_to_itself() -> None:
    database = properties("Database")
    assert (
        database["StorageEncrypted"] is database["ManageMasterUserPassword"] is database["DeletionProtection"] is True
    )
    assert database["PubliclyAccessible"] is False
    assert database["BackupRetentionPeriod"] >= 7
    assert "MasterUserPassword" not in database
    assert properties("DatabaseSettings")["Parameters"] == {"rds.force_ssl": "1"}
    assert RESOURCES["Database"]["DeletionPolicy"] == "Snapshot"


def test_dagster_starts_as_many_runs_as_the_workers_have_processes() -> None:
    command = container("Workers")["Command"]
    processes = int(command[command.index("--processes") + 1])
    tasks = template()["Parameters"]["WorkerTasks"]["Default"]
    assert processes * tasks == DAGSTER["concurrency"]["runs"]["max_concurrent_runs"]
    assert template()["Parameters"]["MaxWorkerTasks"]["Default"] == tasks


def test_runs_in_hand_have_as_long_to_end_as_fargate_gives() -> None:
    command = container("Workers")["Command"]
    assert container("Workers")["StopTimeout"] == int(command[command.index("--stop-timeout") + 1]) == 120
