"""Terraform: formatted, valid, planned with a dummy provider, applied to a real HTTP stand-in for AWS (moto),
looked at with boto3, planned again (nothing to do) and destroyed. No AWS account is asked for anything.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest

from infra.lambdas.package import package
from tests.cloud_tools import INFRA, ROOT, provider_mirror, run, tool
from tests.moto_server import Moto, loopback_aws

pytestmark = pytest.mark.component

SETTINGS = {
    "alert_email": "owner@example.com",
    "upstox_client_id": "11111111-2222-3333-4444-555555555555",
    "upstox_user_id": "AB1234",
    "webhook_path_sha256": "0" * 64,
}
# What only the stand-in needs: addresses by path, and that the two kept things may go at the end.
OVERRIDE = """
provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
resource "aws_eip" "bot" {
  lifecycle {
    prevent_destroy = false
  }
}
resource "aws_s3_bucket" "archive" {
  force_destroy = true
  lifecycle {
    prevent_destroy = false
  }
}
"""


class Terraform(NamedTuple):
    """A copy of infra/terraform, initialised without network."""

    program: str
    folder: Path
    env: dict[str, str]

    def __call__(self, *arguments: str, codes: tuple[int, ...] = (0,), seconds: float = 400) -> str:
        return run(
            [self.program, *arguments, "-no-color"],
            cwd=self.folder,
            env=self.env,
            codes=codes,
            seconds=seconds,
        )


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    program, mirror = tool("terraform", "terraform ≥ 1.9 from HashiCorp"), provider_mirror()
    infra = tmp_path_factory.mktemp("tf") / "infra"
    shutil.copytree(
        INFRA / "terraform",
        infra / "terraform",
        ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "terraform.tfvars", "*_override.tf"),
    )
    package(infra / "lambdas" / "build" / "token.zip")
    copy = Terraform(
        program, infra / "terraform", {"TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1"}
    )
    copy("init", f"-plugin-dir={mirror}")
    return copy


class Cloud(NamedTuple):
    """What was applied to the stand-in."""

    terraform: Terraform
    address: str
    outputs: dict[str, Any]

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name="ap-south-1",
            endpoint_url=self.address,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


@pytest.fixture(scope="module")
def cloud(terraform: Terraform) -> Iterator[Cloud]:
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    moto = Moto()
    moto.start()
    try:
        yield _applied(terraform, moto.address)
    finally:
        moto.stop()


def _applied(terraform: Terraform, address: str) -> Cloud:
    cloud = Cloud(terraform._replace(env=terraform.env | loopback_aws(address)), address, {})
    (cloud.terraform.folder / "moto_override.tf").write_text(OVERRIDE)
    image = cloud.client("ec2").describe_images()["Images"][0]["ImageId"]
    (cloud.terraform.folder / "terraform.tfvars.json").write_text(json.dumps(SETTINGS | {"ami_id": image}))
    cloud.terraform("apply", "-auto-approve", "-input=false")
    outputs = json.loads(cloud.terraform("output", "-json"))
    return cloud._replace(outputs={name: item["value"] for name, item in outputs.items()})


# ---- without AWS ----


def test_it_is_formatted_valid_and_its_own_tests_pass(terraform: Terraform) -> None:
    terraform("fmt", "-check", "-recursive")
    assert "Success" in terraform("validate")
    assert re.search(r"[1-9]\d* passed, 0 failed", terraform("test"))


def test_at_most_six_values_are_required() -> None:
    text = (INFRA / "terraform" / "variables.tf").read_text()
    variables = re.findall(r'^variable "(\w+)" \{(.*?)^\}', text, re.DOTALL | re.MULTILINE)
    required = [name for name, body in variables if not re.search(r"^\s+default\s+=", body, re.MULTILINE)]
    assert sorted(required) == sorted(SETTINGS)
    assert len(required) <= 6
    assert all("description" in body for _, body in variables)


def test_checkov_finds_nothing_outside_the_reviewed_list() -> None:
    command: list[str | Path] = [
        tool("checkov"),
        "-d",
        INFRA / "terraform",
        "--config-file",
        INFRA / "checkov.yaml",
    ]
    said = run([*command, "--framework", "terraform"])
    passed, failed = re.search(r"Passed checks: (\d+), Failed checks: (\d+)", said).groups()  # type: ignore[union-attr]
    assert (int(passed) > 50, int(failed)) == (True, 0), said


# ---- on the stand-in ----


def test_the_address_is_bound_and_printed_and_the_machine_is_closed(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    (address,) = ec2.describe_addresses()["Addresses"]
    assert address["InstanceId"] == cloud.outputs["instance_id"]
    assert address["PublicIp"] == cloud.outputs["register_this_ip"]
    (machine,) = ec2.describe_instances(InstanceIds=[cloud.outputs["instance_id"]])["Reservations"][0][
        "Instances"
    ]
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    assert machine["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
    assert "KeyName" not in machine
    groups = ec2.describe_security_groups()["SecurityGroups"]
    ours = [group for group in groups if group["VpcId"] == machine["VpcId"]]
    assert [group["IpPermissions"] for group in ours] == [[]] * len(ours), "nothing may come in"
    volumes = ec2.describe_volumes()["Volumes"]
    assert all(volume["Encrypted"] for volume in volumes)


def test_the_days_clock_stands_in_indias_time_with_its_targets(cloud: Cloud) -> None:
    scheduler, name = cloud.client("scheduler"), cloud.outputs["name"]
    group = scheduler.list_schedules(GroupName=name)["Schedules"]
    found = {}
    for entry in group:
        schedule = scheduler.get_schedule(GroupName=name, Name=entry["Name"])
        assert schedule["ScheduleExpressionTimezone"] == "Asia/Kolkata"
        assert schedule["Target"]["DeadLetterConfig"]["Arn"].endswith("missed-schedules")
        assert schedule["State"] == "ENABLED"
        target = schedule["Target"]["Arn"].rsplit(":", 1)[-1]
        found[entry["Name"].removeprefix(f"{name}-")] = (schedule["ScheduleExpression"], target)
    assert found == {
        "token": ("cron(0 8 ? * MON-FRI *)", f"{name}-token-request"),
        "start": ("cron(15 8 ? * MON-FRI *)", "startInstances"),
        "watch": ("cron(5 9 ? * MON-FRI *)", "enableAlarmActions"),
        "watch-reset": ("cron(6 9 ? * MON-FRI *)", "setAlarmState"),
        "stops-matter": ("cron(5 9 ? * MON-FRI *)", "enableRule"),
        "unwatch": ("cron(45 15 ? * MON-FRI *)", "disableAlarmActions"),
        "stops-expected": ("cron(45 15 ? * MON-FRI *)", "disableRule"),
        "stop": ("cron(15 16 ? * MON-FRI *)", "stopInstances"),
    }


def test_the_bucket_is_private_versioned_encrypted_and_tidies_itself(cloud: Cloud) -> None:
    s3, bucket = cloud.client("s3"), cloud.outputs["bucket"]
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rule = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert "Expiration" not in rules["archive"], "no day is ever deleted"
    assert rules["uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}


def test_the_outer_ring_mails_when_the_bot_dies_and_only_in_session(cloud: Cloud) -> None:
    alarms = {
        alarm["AlarmName"]: alarm for alarm in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    }
    beat = alarms["options-bot-heartbeat"]
    assert (beat["TreatMissingData"], beat["ActionsEnabled"]) == ("breaching", False)
    (topic,) = cloud.client("sns").list_topics()["Topics"]
    assert all(alarm["AlarmActions"] == [topic["TopicArn"]] for alarm in alarms.values())
    assert set(alarms) == {
        f"options-bot-{end}" for end in ("heartbeat", "missed-schedule", "token-missing", "token-request")
    }
    (mail,) = cloud.client("sns").list_subscriptions()["Subscriptions"]
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", SETTINGS["alert_email"])
    events = cloud.client("events")
    rules = {rule["Name"]: rule for rule in events.list_rules()["Rules"]}
    assert rules["options-bot-stopped-in-session"]["State"] == "DISABLED", "until 09:05"
    assert rules["options-bot-terminated"]["State"] == "ENABLED"
    for name, rule in rules.items():
        assert json.loads(rule["EventPattern"])["detail"]["instance-id"] == [cloud.outputs["instance_id"]]
        assert [target["Arn"] for target in events.list_targets_by_rule(Rule=name)["Targets"]] == [
            topic["TopicArn"]
        ]


def test_the_lambdas_are_the_packaged_ones_and_know_no_secret(cloud: Cloud) -> None:
    awslambda = cloud.client("lambda")
    request, webhook = (
        awslambda.get_function(FunctionName=f"options-bot-token-{name}")["Configuration"]
        for name in ("request", "webhook")
    )
    assert request["Environment"]["Variables"] == {
        "UPSTOX_CLIENT_ID": SETTINGS["upstox_client_id"],
        "APP_SECRET": "options-bot/app",
    }
    assert webhook["Environment"]["Variables"] == {
        "UPSTOX_CLIENT_ID": SETTINGS["upstox_client_id"],
        "UPSTOX_USER_ID": SETTINGS["upstox_user_id"],
        "PATH_SHA256": SETTINGS["webhook_path_sha256"],
        "TOKEN_SECRET": "options-bot/token",
    }
    url = awslambda.get_function_url_config(FunctionName="options-bot-token-webhook")["FunctionUrl"]
    assert cloud.outputs["webhook_url"].rstrip("/") == url.rstrip("/")


def test_secrets_are_made_empty_and_the_registry_keeps_its_tags(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager")
    for name in cloud.outputs["secrets"].values():
        assert "VersionIdsToStages" not in secrets.describe_secret(SecretId=name), (
            "no value through Terraform"
        )
    (registry,) = cloud.client("ecr").describe_repositories()["repositories"]
    assert registry["imageTagMutability"] == "IMMUTABLE"


def test_a_role_can_do_only_what_the_deploy_guide_lists(cloud: Cloud) -> None:
    assert _granted(cloud) == _documented()


def test_nothing_secret_stands_in_outputs_user_data_or_state(cloud: Cloud) -> None:
    state = (cloud.terraform.folder / "terraform.tfstate").read_text()
    assert "secret_string" not in state
    assert "aws_secretsmanager_secret_version" not in state
    attribute = cloud.client("ec2").describe_instance_attribute(
        InstanceId=cloud.outputs["instance_id"], Attribute="userData"
    )
    import base64

    script = base64.b64decode(attribute["UserData"]["Value"]).decode()
    for text in (script, json.dumps(cloud.outputs)):
        assert not re.search(r"(?i)(token|secret|password)\s*[=:]\s*[A-Za-z0-9+/_-]{16,}", text)
        assert SETTINGS["webhook_path_sha256"] not in text
    assert cloud.outputs["estimated_monthly_cost_usd"] == "12.20", "docs/deploy.md says the same"


def test_zz_a_second_plan_is_empty_and_destroy_leaves_nothing(cloud: Cloud) -> None:
    cloud.terraform("plan", "-detailed-exitcode", "-input=false")  # 2 would mean changes
    cloud.terraform("destroy", "-auto-approve", "-input=false")
    assert cloud.client("s3").list_buckets()["Buckets"] == []
    assert cloud.client("ec2").describe_addresses()["Addresses"] == []
    assert cloud.client("scheduler").list_schedules()["Schedules"] == []


@pytest.mark.parametrize(("file", "kept"), [("instance.tf", "aws_eip"), ("storage.tf", "aws_s3_bucket")])
def test_the_address_and_the_bucket_are_guarded(file: str, kept: str) -> None:
    text = (INFRA / "terraform" / file).read_text()
    (body,) = re.findall(rf'^resource "{kept}" "\w+" \{{(.*?)^\}}', text, re.DOTALL | re.MULTILINE)
    assert "prevent_destroy = true" in body


# ---- the table of roles ----


def _granted(cloud: Cloud) -> set[tuple[str, str, str]]:
    """(role, action, resource) of every policy of every role; managed policies there may be none."""
    iam = cloud.client("iam")
    granted = set()
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for statement in document["Statement"]:
                assert statement["Effect"] == "Allow"
                for action in _list(statement["Action"]):
                    for resource in _list(statement["Resource"]):
                        granted.add((name.removeprefix("options-bot-"), action, _plain(resource, cloud)))
    return granted


def _plain(resource: str, cloud: Cloud) -> str:
    """An ARN as the guide writes it."""
    text = resource.split(":", 5)[-1] if resource.startswith("arn:") else resource
    text = text.replace(cloud.outputs["instance_id"], "ID").replace(cloud.outputs["bucket"], "BUCKET")
    return re.sub(r"^(secret:[\w/-]+)-\w{6}$", r"\1", text)


def _documented() -> set[tuple[str, str, str]]:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (.*?) \| (.*?) \|", (ROOT / "docs" / "deploy.md").read_text(), re.MULTILINE
    )
    return {
        (role, action, resource)
        for role, actions, resources in rows
        for action in re.findall(r"`([\w]+:\w+)`", actions)
        for resource in re.findall(r"`([^`]+)`", resources)
    }


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
