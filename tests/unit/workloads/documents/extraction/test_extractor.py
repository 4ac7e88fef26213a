"""The parsing process: accepted files, and the limits that stop it."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from scheduling.kit.base import Interrupted
from scheduling.sandbox.isolated import start_isolated
from tests.unit.workloads.documents.extraction.makers import make_docx, make_encrypted_pdf, make_pdf, rewrite_docx
from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction import child, extractor
from workloads.documents.extraction.errors import (
    FileDamagedError,
    FileEncryptedError,
    FileTooComplexError,
    FileWithoutTextError,
)
from workloads.documents.extraction.extractor import ParsingInterruptedError, extract_file
from workloads.documents.extraction.limits import MIB, ParsingLimits
from workloads.documents.extraction.sniffing import OLE_MAGIC, OLE_STREAM_OF_ENCRYPTED_DOCX, ContentType

pytestmark = pytest.mark.process

DEADLINE_SECONDS = 20.0


@pytest.fixture
def file() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as opened:
        yield opened


def write(file: IO[bytes], content: bytes) -> IO[bytes]:
    file.write(content)
    file.flush()
    return file


@pytest.mark.parametrize(
    ("content_type", "content", "text"),
    [
        (ContentType.PDF, make_pdf("Fair queues"), "Fair queues"),
        (ContentType.DOCX, make_docx("公平调度"), "公平调度"),
        (ContentType.HTML, "<meta charset=gbk><p>公平调度</p>".encode("gb18030"), "公平调度"),
        (ContentType.MARKDOWN, b"# Title", "Title"),
        (ContentType.TEXT, "\ud800".encode("utf-8", "surrogatepass") + b" cp1252 \xe9", None),
        (ContentType.CSV, b"a,b\n1,2", "a: 1; b: 2"),
    ],
)
def test_file_of_each_format_is_parsed_by_the_process(
    file: IO[bytes], content_type: ContentType, content: bytes, text: str | None
) -> None:
    blocks = extract_file(write(file, content), content_type).blocks
    assert blocks
    if text is not None:
        assert blocks[0].text.strip() == text


@pytest.mark.parametrize(
    ("content_type", "content", "error", "code"),
    [
        (ContentType.PDF, make_encrypted_pdf("x"), FileEncryptedError, "file_encrypted"),
        (ContentType.PDF, make_pdf("x" * 500)[:-300], FileDamagedError, "file_damaged"),
        (ContentType.PDF, make_pdf(""), FileWithoutTextError, "file_without_text"),  # an image, as from a scanner
        (ContentType.DOCX, make_docx(), FileWithoutTextError, "file_without_text"),
        (ContentType.DOCX, make_docx("x")[:-500], FileDamagedError, "file_damaged"),
        (ContentType.DOCX, OLE_MAGIC + OLE_STREAM_OF_ENCRYPTED_DOCX, FileEncryptedError, "file_encrypted"),
        (ContentType.HTML, b"<div>" * 20_000 + b"x", FileTooComplexError, "file_too_complex"),
        (ContentType.TEXT, b" \n\n \t", FileWithoutTextError, "file_without_text"),
        (ContentType.TEXT, bytes(range(256)) * 40, FileDamagedError, "file_damaged"),
    ],
)
def test_unreadable_file_has_its_error_code(
    file: IO[bytes], content_type: ContentType, content: bytes, error: type[Exception], code: str
) -> None:
    with pytest.raises(error) as caught:
        extract_file(write(file, content), content_type)
    assert caught.value.code == code  # type: ignore[attr-defined]


def test_docx_bomb_is_too_complex(file: IO[bytes]) -> None:
    bomb = rewrite_docx(make_docx("x"), "word/bomb.xml", b" " * (64 * MIB))
    with pytest.raises(FileTooComplexError) as caught:
        extract_file(write(file, bomb), ContentType.DOCX)
    assert caught.value.code == "file_too_complex"


def test_pdf_bomb_is_stopped_by_the_memory_limit(file: IO[bytes]) -> None:
    bomb = make_pdf("x", stream=b"BT /F1 12 Tf (x) Tj ET\n" * (300 * MIB // 23))
    assert len(bomb) < MIB
    with pytest.raises(FileTooComplexError):
        extract_file(write(file, bomb), ContentType.PDF, limits=ParsingLimits(memory_bytes=256 * MIB))


def test_memory_error_of_python_is_reported_as_too_complex(file: IO[bytes]) -> None:
    content = b"word \n\n" * (4 * MIB)
    with pytest.raises(FileTooComplexError, match="memory"):
        extract_file(write(file, content), ContentType.TEXT, limits=ParsingLimits(memory_bytes=96 * MIB))


def test_file_beyond_the_processor_time_is_stopped(file: IO[bytes]) -> None:
    # A second of processor time is exceeded long before all of this is read.
    content = b"".join(b"paragraph %d\n\n" % number for number in range(3_000_000))
    with pytest.raises(FileTooComplexError):
        extract_file(write(file, content), ContentType.TEXT, limits=ParsingLimits(cpu_seconds=1))


def test_file_beyond_the_time_limit_is_stopped(file: IO[bytes]) -> None:
    with pytest.raises(FileTooComplexError, match="longer than"):
        extract_file(write(file, b"x"), ContentType.TEXT, limits=ParsingLimits(wall_seconds=0.001))


def test_file_with_too_much_text_is_stopped(file: IO[bytes]) -> None:
    with pytest.raises(FileTooComplexError, match="bytes of text"):
        extract_file(write(file, b"word\n\n" * 1_000), ContentType.TEXT, limits=ParsingLimits(output_bytes=1_000))


def test_reading_from_a_silent_process_ends_at_a_safe_point(file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    silent = subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE)
    monkeypatch.setattr(extractor, "start_isolated", lambda *arguments, stdin: silent)
    looks = iter((None, None, Interrupted("cancel")))

    def stop_at_the_third_look() -> None:
        if (interruption := next(looks)) is not None:
            raise interruption

    with pytest.raises(Interrupted):
        extract_file(file, ContentType.TEXT, at_safe_point=stop_at_the_third_look)
    assert silent.returncode == -signal.SIGKILL


def test_killed_process_is_a_transient_error(file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def start_and_kill(module: str, *arguments: str, stdin: IO[bytes]) -> subprocess.Popen[bytes]:
        process = start_isolated(module, *arguments, stdin=stdin)
        process.kill()
        return process

    monkeypatch.setattr(extractor, "start_isolated", start_and_kill)
    with pytest.raises(ParsingInterruptedError, match="status -9"):
        extract_file(write(file, b"x"), ContentType.TEXT)


def test_exception_of_the_parser_is_reported_and_transient(file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()

    def fail(data: bytes, facts: Facts) -> Iterator[Block]:
        raise ZeroDivisionError(len(data))

    with monkeypatch.context() as patch:
        patch.setattr(child, "bind", lambda limits: None)  # this process belongs to the test
        patch.setattr(child, "die_with_parent", lambda parent: None)
        patch.setattr(child, "enter_sandbox", list)
        patch.setattr(child, "reader_of", lambda content_type: fail)
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"four")))
        patch.setattr("sys.stdout", said)
        assert child.main(["text/plain", "", "{}", "1"]) == 0
    answer = subprocess.Popen([sys.executable, "-c", f"print({said.getvalue().strip()!r})"], stdout=subprocess.PIPE)
    monkeypatch.setattr(extractor, "start_isolated", lambda *arguments, stdin: answer)
    with pytest.raises(ParsingInterruptedError, match="ZeroDivisionError: 4"):
        extract_file(file, ContentType.TEXT)


def test_process_gets_no_secrets_and_ends_with_its_parent() -> None:
    """A killed parent leaves no parsing process behind."""
    program = (
        "import sys, tempfile\n"
        "from workloads.documents.extraction import extractor\n"
        "from workloads.documents.extraction.limits import ParsingLimits\n"
        "import os\n"
        "read, write = os.pipe()\n"  # never written: the child waits for its input forever
        "process = extractor._start(os.fdopen(read, 'rb'), 'text/plain', '', ParsingLimits())\n"
        "print(process.pid, flush=True)\n"
        "process.wait()\n"
    )
    environment = {**os.environ, "DATABASE_URL": "postgres://secret"}
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment, cwd=Path(__file__).parents[5]
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until(lambda: b"extraction.child" in read_proc(pid, "cmdline"))
    assert b"secret" not in read_proc(pid, "environ")
    wait_until(lambda: b"1073741824" in read_proc(pid, "limits"))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not read_proc(pid, "cmdline"))


def test_process_exits_at_once_if_its_parent_has_ended() -> None:
    with pytest.raises(SystemExit):
        child.die_with_parent(parent=os.getpid() + 1)


def read_proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def test_process_cannot_write_a_file(tmp_path: Path) -> None:
    program = (
        "import sys, resource, io\n"
        "from workloads.documents.extraction.child import bind\n"
        "from workloads.documents.extraction.limits import ParsingLimits\n"
        "bind(ParsingLimits().as_arguments())\n"
        "open(sys.argv[1], 'wb', buffering=0).write(b'x')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out")],
        capture_output=True,
        cwd=Path(__file__).parents[5],
        check=False,
    )
    assert ended.returncode != 0
    assert b"File too large" in ended.stderr
    assert (tmp_path / "out").stat().st_size == 0
