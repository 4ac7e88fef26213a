"""Limits in `deploy/` on what a client can make the platform read and store."""

from __future__ import annotations

import re
import runpy
from typing import Any
from uuid import UUID

import pytest

from jobsplatform.request_heads import MAX_HEADER_BYTES, MAX_TARGET_BYTES
from jobsplatform.settings.env import BASE_DIR, env
from scheduling.management.commands.run_platform import UVICORN_OPTIONS
from tenants.requests.bodies import MAX_TEXT_BYTES, limit_of_route
from tests.unit.deploy.test_manifests import PRODUCTION, commands, named, services

BODY_SIZE = "nginx.ingress.kubernetes.io/proxy-body-size"
UNITS = {"Mi": 2**20, "Gi": 2**30}
ID = UUID(int=1)
PATHS = [
    "/api/v1/files/",
    f"/api/v1/files/{ID}/link/",
    f"/api/v1/datasets/{ID}/documents/",
    f"/api/v1/datasets/{ID}/documents/from-text/",
    f"/api/v1/documents/{ID}/replace/",
    f"/api/v1/documents/{ID}/reindex/",
    "/api/v1/jobs/",
    "/api/v1/jobs/bulk/",
    "/admin/files/uploadedfile/upload/",
    "/admin/files/uploadedfile/",
    "/admin/retrieval/document/upload/",
    "/admin/login/",
]


def paths_of(ingress: str) -> list[str]:
    [rule] = named("Ingress")[ingress]["spec"]["rules"]
    return [path["path"] for path in rule["http"]["paths"]]


@pytest.mark.parametrize("path", PATHS)
def test_large_bodies_pass_the_ingress_on_upload_routes_only(path: str) -> None:
    takes_files = limit_of_route(path, "POST") > MAX_TEXT_BYTES
    assert any(re.match(pattern, path) for pattern in paths_of("jobsplatform-uploads")) == takes_files
    [shown] = re.findall(r"location ~ (\S+) \{\s+client_max_body_size 1g", PRODUCTION.read_text())
    assert bool(re.match(shown, path)) == takes_files


def test_other_bodies_at_the_ingress_are_limited_to_text_size() -> None:
    sizes = {name: ingress["metadata"]["annotations"][BODY_SIZE] for name, ingress in named("Ingress").items()}
    assert sizes == {"jobsplatform": f"{MAX_TEXT_BYTES // 2**20}m", "jobsplatform-uploads": "1g"}


def test_every_folder_for_temporary_files_has_a_limit() -> None:
    for kind in ("Deployment", "Job", "CronJob"):
        for name, document in named(kind).items():
            job = document["spec"]["jobTemplate"] if kind == "CronJob" else document
            for volume in job["spec"]["template"]["spec"]["volumes"]:
                assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"], name


def bytes_of(size: str) -> int:
    return int(size[:-2]) * UNITS[size[-2:]]


@pytest.mark.parametrize("name", ["web", "streams"])
def test_concurrent_bodies_of_a_process_fit_into_its_folder(name: str) -> None:
    pod: dict[str, Any] = named("Deployment")[name]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    processes = next((int(word.split("=")[1]) for word in container["command"] if "--workers" in word), 1)
    given = {variable["name"]: variable["value"] for variable in container.get("env", [])}
    space = int(given.get("BODY_SPACE_BYTES", env.scheme["BODY_SPACE_BYTES"][1]))
    [folder] = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "tmp"]
    assert processes * space < bytes_of(folder["sizeLimit"])


def test_concurrent_bodies_of_compose_fit_into_its_folder() -> None:
    web = services()["web"]
    [folder] = web["tmpfs"]
    assert folder == "/tmp:size=1g"
    assert 2 * int(web["environment"]["BODY_SPACE_BYTES"]) < 2**30


def test_both_servers_bound_the_head_of_a_request() -> None:
    asgi = [command for _, command in commands() if "uvicorn" in command]
    asgi += [row.split() for row in re.findall(r"`(uvicorn [^`]+)`", PRODUCTION.read_text())]
    asgi.append([*UVICORN_OPTIONS])
    assert len(asgi) >= 3
    for command in asgi:
        assert {"--http=h11", f"--h11-max-incomplete-event-size={MAX_HEADER_BYTES}"} <= set(command)
    gunicorn = runpy.run_path(str(BASE_DIR / "gunicorn.conf.py"))
    assert gunicorn["limit_request_line"] == MAX_TARGET_BYTES
    assert gunicorn["limit_request_field_size"] < MAX_HEADER_BYTES
