"""Witnesses: a file, an object in S3-compatible storage, and a URL, each on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest

from scheduling.sites.exceptions import WitnessConflictError, WitnessError
from scheduling.sites.rules import Claim
from scheduling.sites.witness import Witness, open_witness, read_claim, write_claim
from tests.aws_server import used_aws_server


class _Document(BaseHTTPRequestHandler):
    """Handler of one document with an ETag."""

    content = b""

    def _tag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()}"' if self.content else ""

    def do_GET(self) -> None:
        self.send_response(200 if self.content else 404)
        if self.content:
            self.send_header("ETag", self._tag())
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_due = self.headers["If-Match"] == self._tag() if self.content else self.headers["If-None-Match"] == "*"
        if is_due:
            type(self).content = body
        self.send_response(204 if is_due else 412)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by the base class
        """Print nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    _Document.content = b""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Document)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/site"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with used_aws_server(monkeypatch):
        boto3.client("s3").create_bucket(Bucket="witness")
        yield "s3://witness/jobs/site.json"


@pytest.fixture(params=["file", "bucket", "url"])
def witness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Witness]:
    address = f"file://{tmp_path}/site" if request.param == "file" else request.getfixturevalue(request.param)
    open_witness.cache_clear()
    yield open_witness(address)
    open_witness.cache_clear()


def test_claim_is_replaced_by_the_reader_of_its_last_version_only(witness: Witness) -> None:
    empty = read_claim(witness)
    assert empty == (None, "")
    write_claim(witness, Claim("a", 1), empty.tag)
    first = read_claim(witness)
    assert first.claim == Claim("a", 1)
    with pytest.raises(WitnessConflictError):
        write_claim(witness, Claim("b", 1), empty.tag)
    write_claim(witness, Claim("b", 2), first.tag)
    with pytest.raises(WitnessConflictError):
        write_claim(witness, Claim("a", 1), first.tag)
    assert read_claim(witness).claim == Claim("b", 2)


def test_one_of_many_concurrent_writers_succeeds(tmp_path: Path) -> None:
    witness = open_witness(f"file://{tmp_path}/site")
    tag, won = read_claim(witness).tag, []

    def write(name: str) -> None:
        try:
            write_claim(witness, Claim(name, 1), tag)
        except WitnessConflictError:
            return
        won.append(name)

    threads = [threading.Thread(target=write, args=[str(number)]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [read_claim(witness).claim] == [Claim(name, 1) for name in won]


@pytest.mark.parametrize("content", [b"no JSON", b"[]", b'{"site": "a"}', b'{"site": "a", "epoch": "x"}'])
def test_document_that_is_no_claim_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "site").write_bytes(content)
    with pytest.raises(WitnessError):
        read_claim(open_witness(f"file://{tmp_path}/site"))


@pytest.mark.parametrize("address", ["", "site", "file://site", "s3://bucket", "ftp://host/site"])
def test_other_address_is_refused(address: str) -> None:
    with pytest.raises(WitnessError):
        open_witness(address)


def test_witness_without_a_server_is_refused() -> None:
    with pytest.raises(WitnessError):
        read_claim(open_witness("http://127.0.0.1:8443/site"))
