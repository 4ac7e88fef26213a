"""Files in `deploy/` are valid, run existing commands and set variables that are read."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from jobsplatform.settings.env import BASE_DIR, env

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="it is in requirements-dev.txt")
compose_spec = pytest.importorskip("compose_spec", reason="it is in requirements-dev.txt")

DEPLOY = BASE_DIR / "deploy"
KUBERNETES = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
HPA = DEPLOY / "kubernetes" / "autoscaling" / "hpa.yaml"
KEDA = HPA.with_name("keda.yaml")
COMPOSE = DEPLOY / "compose" / "compose.yaml"
# The oldest version that is still maintained, and the newest that the validator supports.
KUBERNETES_VERSIONS = ("1.34", "1.37")
# Variables that the image or client libraries read, but not the settings of the platform.
FOREIGN_VARIABLES = {"PROMETHEUS_MULTIPROC_DIR"}
SERVERS = {"postgres", "valkey"}
# Tasks that end, so that they need no probes.
TASKS = {"migrate", "audit-heads"}
PRODUCTION = BASE_DIR / "docs" / "how-to" / "production.md"
UNIT = re.compile(
    r"^```ini\n(# \S+/(?P<name>jobs-\S+)\n)?(?P<text>\[(?:Service|Unit)\].*?)^```$", re.MULTILINE | re.DOTALL
)


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each Kubernetes object with the name of its file, except the kustomization."""
    for path in KUBERNETES:
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] != "Kustomization":
                yield path.name, document


OBJECTS = list(manifests())


def named(kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of a kind by name."""
    return {document["metadata"]["name"]: document for _, document in OBJECTS if document["kind"] == kind}


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every container that Kubernetes runs, with the name of its workload."""
    for kind in ("Deployment", "Job", "CronJob"):
        for name, document in named(kind).items():
            job = document["spec"]["jobTemplate"] if kind == "CronJob" else document
            for container in job["spec"]["template"]["spec"]["containers"]:
                yield name, container


def secrets_by_role() -> dict[str, set[str]]:
    """Return the secret variables of each Kubernetes workload."""
    secrets = {name: set(secret["stringData"]) for name, secret in named("Secret").items()}
    return {
        name: set().union(
            *(secrets[source["secretRef"]["name"]] for source in container["envFrom"] if "secretRef" in source)
        )
        for name, container in containers()
    }


def services() -> dict[str, Any]:
    """Return the services of the compose file with resolved merge keys."""
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return parsed


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command in any of the files that runs code of this project."""
    for name, container in containers():
        yield f"kubernetes {name}", container["command"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if "exec" in container.get(probe, {}):
                yield f"kubernetes {name} {probe}", container[probe]["exec"]["command"]
    for name, service in services().items():
        if name not in SERVERS and "command" in service:
            yield f"compose {name}", service["command"]
    for name, unit in units().items():
        if unit.has_option("Service", "ExecStart"):
            python, *arguments = shlex.split(unit["Service"]["ExecStart"])
            yield f"systemd {name}", [Path(python).name, *arguments]
    yield "image", json.loads(re.findall(r"^CMD (\[.*\])$", containerfile(), re.MULTILINE)[0])


def units() -> dict[str, configparser.ConfigParser]:
    """Return the systemd units in docs/how-to/production.md by name."""
    found = {}
    for shown in UNIT.finditer(PRODUCTION.read_text()):
        # systemd permits repeated names and distinguishes upper and lower case.
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment, method-assign]
        unit.read_string(shown["text"])
        found[shown["name"] or "worker"] = unit
    return found


def containerfile() -> str:
    return (DEPLOY / "Containerfile").read_text()


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize(("file", "document"), OBJECTS, ids=[f"{file}-{doc['kind']}" for file, doc in OBJECTS])
def test_each_object_is_valid_for_kubernetes(file: str, document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_misspelt_kubernetes_field_is_found() -> None:
    broken = json.loads(json.dumps(named("Deployment")["dispatcher"]))
    broken["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES_VERSIONS[0], strict=True)


def test_kustomization_names_every_file() -> None:
    kustomization = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    others = {path.name for path in KUBERNETES} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(kustomization["resources"]) == others


def test_compose_file_is_valid_and_misspelt_field_is_found() -> None:
    filled = COMPOSE.read_text()
    # The checker does not support merge keys, YAML does.
    filled = yaml.safe_dump(yaml.safe_load(re.sub(r"\$\{[^}]+\}", "value", filled)))
    assert set(compose_spec.PyCompose.from_yaml(filled).service_names()) == set(services())
    with pytest.raises(ValueError, match="restrat"):
        compose_spec.PyCompose.from_yaml(filled.replace("restart:", "restrat:", 1))


def test_every_part_of_the_platform_is_deployed() -> None:
    parts = {"web", "streams", "dispatcher", "worker-default", "worker-io", "worker-maintenance", "auditor", "beat"}
    assert set(named("Deployment")) == parts
    assert set(named("Job")) == {"migrate"}
    assert named("Deployment")["dispatcher"]["spec"]["replicas"] == 2
    assert named("Deployment")["beat"]["spec"]["strategy"] == {"type": "Recreate"}
    # Beat and the auditor may be absent for a while; of all others some must stay.
    assert set(named("PodDisruptionBudget")) == parts - {"auditor", "beat"}


def test_every_deployment_has_probes_and_limits_and_no_privileges() -> None:
    for name, container in containers():
        assert container["resources"]["limits"]["memory"], name
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
        if name not in TASKS:
            assert {"startupProbe", "livenessProbe"} <= set(container), name


def test_selectors_match_the_intended_pods() -> None:
    labels = {
        name: document["spec"]["template"]["metadata"]["labels"] for name, document in named("Deployment").items()
    }
    for name, budget in named("PodDisruptionBudget").items():
        assert budget["spec"]["selector"]["matchLabels"] == labels[name]
    for name, service in named("Service").items():
        assert service["spec"]["selector"] == labels[name]
    for name, deployment in named("Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"] == labels[name]


def test_owner_connection_is_given_to_the_migration_only() -> None:
    assert {name for name, held in secrets_by_role().items() if "DATABASE_OWNER_URL" in held} == {"migrate"}
    owners = {name for name, service in services().items() if "DATABASE_OWNER_URL" in service.get("environment", {})}
    assert owners == {"bootstrap", "migrate"}


def test_signing_key_is_given_to_auditor_and_public_key_to_others() -> None:
    signers = {
        name
        for name, container in containers()
        if any(source.get("secretRef", {}).get("name") == "jobsplatform-auditor" for source in container["envFrom"])
    }
    assert signers == {"auditor"}
    assert "AUDIT_PUBLIC_KEYS" in named("ConfigMap")["jobsplatform"]["data"]
    serving = {name: service["environment"] for name, service in services().items() if name not in SERVERS}
    assert {name for name, given in serving.items() if "AUDIT_SIGNING_KEY" in given} == {"auditor"}
    logins = {name for name, given in serving.items() if "DATABASE_AUDITOR_URL" in given}
    assert logins == {"auditor", "bootstrap", "migrate"}
    assert "DATABASE_URL" not in serving["auditor"]
    assert {name for name, given in serving.items() if "AUDIT_PUBLIC_KEYS" not in given} == {"bootstrap", "migrate"}


def test_signed_heads_are_exported_one_at_a_time() -> None:
    assert set(named("CronJob")) == {"audit-heads"}
    spec = named("CronJob")["audit-heads"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    out = Path(pod["containers"][0]["command"][-1])
    [volume] = [v for v in pod["containers"][0]["volumeMounts"] if v["mountPath"] == str(out.parent)]
    claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "emptyDir" not in v}
    assert claims[volume["name"]] in named("PersistentVolumeClaim")


def test_each_documented_timer_has_a_service_and_an_install_target() -> None:
    shown = units()
    timers = [name for name in shown if name.endswith(".timer")]
    assert timers == ["jobs-audit-heads.timer"]
    for name in timers:
        assert shown[name]["Timer"]["OnCalendar"]
        assert shown[name]["Install"]["WantedBy"] == "timers.target"
        assert shown[name.replace(".timer", ".service")]["Service"]["Type"] == "oneshot"


@pytest.mark.parametrize(("where", "command"), list(commands()), ids=[where for where, _ in commands()])
def test_every_command_exists_and_takes_its_arguments(where: str, command: list[str]) -> None:
    words = command[2:] if command[:2] == ["tini", "--"] else command
    if words[:2] != ["python", "manage.py"]:
        assert words[0] in {"gunicorn", "uvicorn", "celery"}, where
        return
    name, *arguments = words[2:]
    application = get_commands()[name]
    parser = load_command_class(application, name).create_parser("manage.py", name)
    parser.parse_args(arguments)


def test_access_logs_of_the_servers_are_off() -> None:
    """Access logs of servers would contain the query of addresses, which the platform's own log omits."""
    serving = [command for _, command in commands() if {"gunicorn", "uvicorn"} & set(command)]
    serving += [row.split() for row in re.findall(r"`((?:gunicorn|uvicorn) [^`]+)`", PRODUCTION.read_text())]
    assert len(serving) >= 4
    for command in serving:
        assert not [word for word in command if "access-log" in word and word != "--no-access-log"], command
        assert "gunicorn" in command or "--no-access-log" in command, command


def test_every_variable_that_is_set_is_read() -> None:
    read = set(env.scheme) | FOREIGN_VARIABLES
    set_here = set(named("ConfigMap")["jobsplatform"]["data"])
    for _, container in containers():
        set_here |= {variable["name"] for variable in container.get("env", [])}
    for secret in named("Secret").values():
        set_here |= set(secret["stringData"])
    for name, service in services().items():
        if name not in SERVERS:
            set_here |= set(service.get("environment", {}))
    image = re.findall(r"^(?:ENV|   ) *([A-Z_]+)=", containerfile(), re.MULTILINE)
    set_here |= {name for name in image if not name.startswith("PYTHON") and name != "PATH"}
    assert set_here <= read


def test_variables_of_compose_file_equal_those_of_its_example() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE.read_text()))
    offered = re.findall(r"^([A-Z_]+)=", (COMPOSE.parent / ".env.example").read_text(), re.MULTILINE)
    assert asked == set(offered)


def test_image_copies_existing_paths() -> None:
    for line in re.findall(r"^COPY (?!--from)(.+)$", containerfile(), re.MULTILINE):
        source = shlex.split(line)[0]
        assert Path(BASE_DIR / source).exists(), source


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_autoscaler_is_valid_for_kubernetes(version: str) -> None:
    kubernetes_validate.validate(yaml.safe_load(HPA.read_text()), version, strict=True)


def test_autoscalers_use_existing_metrics_and_the_slots_of_the_deployment() -> None:
    hpa, keda = (yaml.safe_load(path.read_text())["spec"] for path in (HPA, KEDA))
    described = (BASE_DIR / "docs" / "reference" / "metrics.md").read_text()
    (container,) = named("Deployment")["worker-default"]["spec"]["template"]["spec"]["containers"]
    (slots,) = [argument.split("=")[1] for argument in container["command"] if "--slots" in argument]
    by_hpa = {
        metric["external"]["metric"]["name"]: metric["external"]["target"]["averageValue"] for metric in hpa["metrics"]
    }
    by_keda = {
        re.findall(r"jobsplatform_\w+", trigger["metadata"]["query"])[0]: trigger["metadata"]["threshold"]
        for trigger in keda["triggers"]
    }
    assert by_hpa == by_keda
    assert all(f"`{name}`" in described for name in by_hpa)
    assert by_hpa["jobsplatform_pool_in_flight_messages"] == slots
    assert hpa["scaleTargetRef"]["name"] == keda["scaleTargetRef"]["name"] == "worker-default"
