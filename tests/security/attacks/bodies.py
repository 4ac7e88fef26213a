"""Attacks on availability: bodies that are too large, too many or too slow."""

from __future__ import annotations

import socket
import threading
import time

from django.core.files.uploadedfile import SimpleUploadedFile

from tenants.access.api_keys import issue_api_key
from tenants.context import tenant_context
from tenants.requests.bodies import MAX_UPLOAD_BYTES, BodyReservation, ReceiveProgress, cut_off_slow_clients, receiving
from tests.platform_settings import override_platform_settings
from tests.security.servers import ask_asgi, ask_wsgi
from tests.security.table import Attack
from tests.security.world import World
from workloads.documents.service import create_dataset

PART = b"x" * 16 * 1024
NO_KEY = "Api-Key jp0123456789." + "a" * 43
NO_SESSION = "sessionid=0123456789abcdefghijklmnopqrstuv"


def submission_by_viewer(world: World) -> str:
    key = issue_api_key(tenant=world.aaa, name="viewer", scopes=["jobs.view"]).token
    files = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "CONTENT_LENGTH": str(900 * 1024 * 1024)}
    return ask_wsgi("/api/v1/jobs/", HTTP_AUTHORIZATION=f"Api-Key {key}", **files)


def upload_beyond_room(world: World) -> str:
    files = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "CONTENT_LENGTH": str(MAX_UPLOAD_BYTES)}
    key = issue_api_key(tenant=world.aaa, name="uploads", scopes=["files.manage"]).token
    with BodyReservation("") as own:
        own.take(1024, owner=world.aaa.pk)
        return ask_wsgi("/api/v1/files/", HTTP_AUTHORIZATION=f"Api-Key {key}", **files)


def upload_beside_a_reserved_one(world: World) -> str:
    """Return the result of another tenant's upload while one of 1 GiB is being received."""
    with BodyReservation("multipart/form-data; boundary=x") as reserved:
        reserved.take(MAX_UPLOAD_BYTES, owner=world.aaa.pk)
        with tenant_context(world.zeta):
            dataset = create_dataset(tenant=world.zeta, name="beside")
        files = {"files": SimpleUploadedFile("a.txt", b"text " * 500_000)}
        path = f"/api/v1/datasets/{dataset.pk}/documents/"
        return str(world.with_key(world.zeta).post(path, files, format="multipart").status_code)


def dribble_asgi(world: World) -> str:
    """Return the refusal of an upload of 1 GiB of which only the first byte arrives."""
    key = issue_api_key(tenant=world.aaa, name="uploads", scopes=["files.manage"]).token
    with override_platform_settings(RECEIVE_GRACE_SECONDS=0.1):
        headers = {"Authorization": f"Api-Key {key}", "Content-Type": "multipart/form-data; boundary=x"}
        headers["Content-Length"] = str(MAX_UPLOAD_BYTES)
        return ask_asgi("/api/v1/files/", headers, part=b"x", is_stalling=True)


def dribble_wsgi(world: World) -> str:
    """Return the refusal of an upload of 1 GiB of which one byte arrives over a socket that the worker watches."""
    key = issue_api_key(tenant=world.aaa, name="uploads", scopes=["files.manage"]).token
    server, client = socket.socketpair()
    with server, client, override_platform_settings(RECEIVE_GRACE_SECONDS=0.1), receiving(server) as receipt:
        client.send(b"x")
        watch = threading.Thread(target=_watch, args=[receipt])
        watch.start()
        with server.makefile("rb") as body:
            environ = {"gunicorn.socket": server, "CONTENT_TYPE": "multipart/form-data; boundary=x"}
            environ |= {"CONTENT_LENGTH": str(MAX_UPLOAD_BYTES), "HTTP_AUTHORIZATION": f"Api-Key {key}"}
            got = ask_wsgi("/api/v1/files/", body, **environ)
        watch.join()
    return got


def _watch(receipt: ReceiveProgress) -> None:
    """Cut off slow requests, as the main thread of a worker does."""
    while not receipt.is_cut_off:
        cut_off_slow_clients()
        time.sleep(0.01)


ATTACKS: tuple[Attack, ...] = (
    Attack(
        "anonymous body of 20 GB under ASGI",
        "POST jobs/ with Content-Length 20000000000",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_asgi("/api/v1/jobs/", {"Content-Length": "20000000000"}, part=PART),
        committed=True,
    ),
    Attack(
        "anonymous body in chunks without end under ASGI",
        "POST jobs/ with Transfer-Encoding: chunked",
        "413 body_too_large after 80 KiB",
        lambda _world: ask_asgi("/api/v1/jobs/", {"Transfer-Encoding": "chunked"}, part=PART),
        committed=True,
    ),
    Attack(
        "body of 1 MB with an invented key under ASGI",
        "POST jobs/ with Authorization: Api-Key jp…",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_asgi("/api/v1/jobs/", {"Content-Length": "1000000", "Authorization": NO_KEY}, part=PART),
        committed=True,
    ),
    Attack(
        "body of 1 MB with an invented session under ASGI",
        "POST jobs/ with Cookie: sessionid=…",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_asgi("/api/v1/jobs/", {"Content-Length": "1000000", "Cookie": NO_SESSION}, part=PART),
        committed=True,
    ),
    Attack(
        "body of 1 MB with an invented key under WSGI",
        "POST jobs/ with Authorization: Api-Key jp…",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_wsgi("/api/v1/jobs/", CONTENT_LENGTH="1000000", HTTP_AUTHORIZATION=NO_KEY),
        committed=True,
    ),
    Attack(
        "form of the log-in of 1 MB under WSGI",
        "POST /admin/login/ as multipart with any csrftoken",
        "413 body_too_large after 0 KiB",
        lambda _world: ask_wsgi(
            "/admin/login/",
            CONTENT_LENGTH="1000000",
            CONTENT_TYPE="multipart/form-data; boundary=x",
            HTTP_COOKIE="csrftoken=" + "a" * 32,
        ),
        committed=True,
    ),
    Attack(
        "body of 900 MiB to a route that takes no files",
        "POST jobs/ as multipart with a key that may only look",
        "413 body_too_large after 0 KiB",
        submission_by_viewer,
        committed=True,
    ),
    Attack(
        "upload that would fill the folder for temporary files",
        "POST files/ with 1 GiB beside other bodies of the tenant",
        "503 bodies_busy after 0 KiB",
        upload_beyond_room,
        committed=True,
    ),
    Attack(
        "upload that would take the room of all tenants",
        "POST files/ with 1 GiB, and an upload of another tenant meanwhile",
        "202",
        upload_beside_a_reserved_one,
        committed=True,
    ),
    Attack(
        "upload of 1 GiB that stalls under ASGI",
        "POST files/ with one byte of 1 GiB",
        "408 body_too_slow after 0 KiB",
        dribble_asgi,
        committed=True,
    ),
    Attack(
        "upload of 1 GiB that stalls under WSGI",
        "POST files/ with one byte of 1 GiB",
        "408 body_too_slow after its time",
        dribble_wsgi,
        committed=True,
    ),
)
