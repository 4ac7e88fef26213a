"""Each workload of `deploy/` has only the secrets and the network of its role, and images are named by digest."""

from __future__ import annotations

import ipaddress
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.checks import Error

from jobsplatform.images import check_image, is_by_digest
from jobsplatform.settings.env import BASE_DIR
from tests.platform_settings import ChangePlatformSettings
from tests.unit.deploy.test_manifests import DEPLOY, containers, named, secrets_by_role
from tools.image_references import find_faults

DIGEST = "sha256:" + "0123456789abcdef" * 4
# A role that is not listed for a secret does not get it.
HOLDERS = {
    "METRICS_TOKEN": {"web", "dispatcher", "worker-default", "worker-io", "worker-maintenance"},
    "ENCRYPTION_MASTER_KEYS": {"web", "streams", "dispatcher", "worker-default", "worker-io", "worker-maintenance"},
    "DATABASE_OWNER_URL": {"migrate"},
}
CALLS_OUT = {"web", "worker-default", "worker-io"}
METADATA = ipaddress.ip_address("169.254.169.254")


def policies() -> dict[str, dict[str, Any]]:
    return {name: policy["spec"] for name, policy in named("NetworkPolicy").items()}


def workloads() -> set[str]:
    return {name for name, _ in containers()}


@pytest.mark.parametrize("variable", HOLDERS)
def test_secret_is_held_by_the_roles_that_need_it_only(variable: str) -> None:
    assert {name for name, held in secrets_by_role().items() if variable in held} == HOLDERS[variable]


def test_roles_share_no_secret() -> None:
    own = [
        source["secretRef"]["name"]
        for name, container in containers()
        for source in container["envFrom"]
        if source.get("secretRef", {}).get("name") == f"jobsplatform-{name}"
    ]
    assert sorted(own) == sorted(f"jobsplatform-{name}" for name in workloads())
    assert "jobsplatform" not in named("Secret")


def test_every_workload_has_its_network_policy_and_the_rest_is_refused() -> None:
    found = policies()
    assert found.pop("refuse-all") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert set(found) == workloads()
    for name, spec in found.items():
        labels = spec["podSelector"]["matchLabels"]
        assert labels == {"app.kubernetes.io/name": "jobsplatform", "app.kubernetes.io/component": name}
        assert spec["policyTypes"] == ["Ingress", "Egress"]


def test_workload_is_reachable_at_its_own_ports_only() -> None:
    ports = {name: {str(port["containerPort"]) for port in c.get("ports", [])} for name, c in containers()}
    for name, spec in policies().items():
        if name != "refuse-all":
            opened = {str(port["port"]) for rule in spec.get("ingress", []) for port in rule["ports"]}
            assert opened == ports[name], name
            assert all(rule["from"] for rule in spec.get("ingress", [])), name


def test_internet_is_open_to_calling_workloads_and_metadata_address_to_none() -> None:
    reaching = set()
    for name, spec in policies().items():
        for rule in spec.get("egress", []):
            for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
                if block["cidr"] == "0.0.0.0/0":
                    reaching.add(name)
                covered = METADATA in ipaddress.ip_network(block["cidr"])
                excepted = any(METADATA in ipaddress.ip_network(each) for each in block.get("except", []))
                assert not covered or excepted, name
    assert reaching == CALLS_OUT


def test_commented_policies_are_valid_for_existing_workloads() -> None:
    _, comments = (DEPLOY / "kubernetes" / "network-policies.yaml").read_text().split("add to one another.\n")
    found = {
        each["metadata"]["name"]: each["spec"] for each in yaml.safe_load_all(re.sub("(?m)^# ?", "", comments)) if each
    }
    assert set(found) == {"alerts", "mail", "object-storage", "telemetry"}
    for spec in found.values():
        selector = spec["podSelector"]
        assert selector["matchLabels"] == {"app.kubernetes.io/name": "jobsplatform"}
        assert {name for each in selector.get("matchExpressions", ()) for name in each["values"]} <= workloads()
        assert all(rule["to"] and rule["ports"] for rule in spec["egress"])


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Return a copy of `deploy/` with a complete kustomization."""
    copy = tmp_path / "deploy"
    shutil.copytree(DEPLOY, copy, ignore=shutil.ignore_patterns(".env"))
    file = copy / "kubernetes" / "kustomization.yaml"
    file.write_text(re.sub(r"sha256:0{64}", DIGEST, file.read_text()))
    return copy


def test_release_by_digest_passes(release: Path) -> None:
    assert list(find_faults(release)) == []


def test_placeholder_of_the_repository_is_refused() -> None:
    assert list(find_faults(DEPLOY)) == ["kustomization.yaml: jobsplatform has no digest."]


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("Containerfile", "ARG PYTHON_IMAGE", "ARG PYTHON_IMAGE=python:3.13", "PYTHON_IMAGE has a default"),
        ("Containerfile", "FROM ${PYTHON_IMAGE} AS build", "FROM python:3.13 AS build", "python:3.13 is not a digest"),
        ("compose/compose.yaml", "${VALKEY_IMAGE:?}", "valkey/valkey:9", "image of valkey is not a digest"),
        ("compose/compose.yaml", "${IMAGE:?}", "${IMAGE:-jobsplatform:latest}", "image of bootstrap is not a digest"),
        ("kubernetes/kustomization.yaml", f'digest: "{DIGEST}"', "newTag: latest", "jobsplatform has no digest"),
    ],
)
def test_tag_is_refused(release: Path, file: str, old: str, new: str, fault: str) -> None:
    path = release / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert fault in " ".join(find_faults(release))


def test_tag_among_the_variables_of_compose_is_refused(release: Path) -> None:
    (release / "compose" / ".env").write_text(f"IMAGE={DIGEST}\nVALKEY_IMAGE=valkey/valkey:9\n")
    assert list(find_faults(release)) == [".env: VALKEY_IMAGE is not a digest."]


@pytest.mark.parametrize(
    ("reference", "is_named"),
    [
        (f"registry.example.com:5000/jobs@{DIGEST}", True),
        (DIGEST, True),
        ("jobs:latest", False),
        ("jobs", False),
        (f"jobs@{DIGEST}0", False),
        ("jobs@sha256:" + "0" * 64, False),
    ],
)
def test_reference_by_digest_is_distinguished_from_one_by_tag(
    change_platform_settings: ChangePlatformSettings, reference: str, is_named: bool
) -> None:
    assert is_by_digest(reference) is is_named
    change_platform_settings(IMAGE=reference)
    assert [type(each) for each in check_image(None)] == ([] if is_named else [Error])


def test_unset_image_is_accepted(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(IMAGE="")
    assert check_image(None) == []


def test_image_installs_hashes_and_no_test_packages() -> None:
    containerfile = (DEPLOY / "Containerfile").read_text()
    assert "--require-hashes -r requirements-production.txt" in containerfile
    assert "requirements.txt" not in containerfile.replace("requirements-production.txt", "")
    text = (BASE_DIR / "requirements-production.txt").read_text()
    production = set(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))
    whole = set(re.findall(r"^([a-z0-9.-]+)==(\S+)", (BASE_DIR / "requirements.txt").read_text(), re.MULTILINE))
    assert production <= whole
    tests = {"pytest", "pytest-django", "pytest-xdist", "hypothesis", "pypdf"}
    assert tests <= {name for name, _ in whole}
    assert not tests & {name for name, _ in production}
    named_here = re.split("# Tests", (BASE_DIR / "requirements" / "runtime.in").read_text())[0]
    wanted = {name.lower() for name in re.findall(r"^([A-Za-z0-9.-]+)", named_here, re.MULTILINE)}
    assert wanted <= {name for name, _ in production}
    blocks = re.split(r"^(?=[a-z0-9.-]+==)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
