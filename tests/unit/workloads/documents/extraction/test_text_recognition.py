"""Pages without text: which of them are recognised, by what, and what a failure leaves behind."""

from __future__ import annotations

import importlib.util
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pypdfium2
import pytest

from tests.ocr_server import PNG, OcrServer, ocr_server
from tests.platform_settings import ChangePlatformSettings
from tests.unit.workloads.documents.extraction.pdf_maker import TOP, draw_pdf, lines, scan_of
from workloads.documents.blocks import Block, Extraction, Facts
from workloads.documents.checks import check_text_recognition
from workloads.documents.extraction import recognition
from workloads.documents.extraction.errors import FileWithoutTextError
from workloads.documents.extraction.extractor import extract_file
from workloads.documents.extraction.limits import MAX_OCR_SECONDS, OCR_MEMORY_BYTES, ParsingLimits
from workloads.documents.extraction.pdf import read_pdf, scans
from workloads.documents.extraction.pdf.scans import ScanReader
from workloads.documents.extraction.recognition import EndpointRecognition
from workloads.documents.extraction.sniffing import ContentType

PROSE = (
    "The scheduler selects the child with the least virtual time, and charges the predicted cost to it",
    "before the job runs, so that a burst of one tenant cannot hold back the work of all the others who",
    "share the pool with it and who have paid for the same weight in the plan that they have selected.",
)
TEXT = draw_pdf(lines("Written."))
SCAN = scan_of(draw_pdf(lines(*PROSE)))


def joined(*parts: bytes) -> bytes:
    """Return a PDF of the pages of others."""
    whole = pypdfium2.PdfDocument.new()
    for part in parts:
        whole.import_pages(pypdfium2.PdfDocument(part))
    with tempfile.NamedTemporaryFile() as file:
        whole.save(file.name)
        return file.read()


def extract(data: bytes, engine: str, pages: int = 9) -> Extraction:
    limits = ParsingLimits().with_ocr(engine, pages)
    by_endpoint = EndpointRecognition(limits, check_running=lambda: None, dependency=lambda _: nullcontext())
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return extract_file(file, ContentType.PDF, limits=limits, recognition=by_endpoint)


def read(data: bytes, pages: int = 9, seconds: float = 60) -> tuple[list[Block], Facts]:
    """Return the blocks and facts of a PDF read in this process by the local engine."""
    facts = Facts()
    local = ScanReader("rapidocr", facts, pages=pages, seconds=seconds, send=pytest.fail)
    return list(read_pdf(data, facts, local)), facts


def use_engine(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[tuple[int, ...]]:
    """Let an engine answer with these results or errors; return the sizes of the pictures that it gets."""
    rest, seen = list(answers), []

    def recognize(picture: Any) -> Any:
        seen.append(picture.shape)
        answer = rest.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(scans, "_make_engine", lambda: recognize)
    return seen


def found(*texts: str, height: int = 28, step: int = 34) -> SimpleNamespace:
    """Return what RapidOCR does for lines of equal length below each other."""
    places = [(200, 300 + step * number) for number in range(len(texts))]
    boxes = [[(x, y), (x + 1_100, y), (x + 1_100, y + height), (x, y + height)] for x, y in places]
    return SimpleNamespace(txts=texts or None, boxes=np.array(boxes, dtype=float))


def test_lines_of_a_scan_become_a_paragraph_between_pages_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = use_engine(monkeypatch, found(*PROSE))
    blocks, facts = read(joined(TEXT, SCAN, TEXT))
    assert [(block.text, block.location) for block in blocks] == [
        ("Written.", {"page": 1}),
        (" ".join(PROSE), {"page": 2}),
        ("Written.", {"page": 3}),
    ]
    assert (facts.pages, facts.pages_without_text, facts.pages_recognized, facts.warnings) == (3, 0, 1, [])
    assert seen == [(2339, 1653, 3)]


def test_page_on_which_nothing_is_recognised_stays_without_text(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, found())
    blocks, facts = read(SCAN)
    assert (blocks, facts.pages_without_text, facts.pages_recognized) == ([], 1, 0)


def test_failure_of_the_engine_is_a_warning_that_names_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, RuntimeError("secret"), found("Second."))
    blocks, facts = read(joined(SCAN, SCAN))
    assert [block.text for block in blocks] == ["Second."]
    assert (facts.pages_without_text, facts.pages_recognized) == (1, 1)
    assert facts.warnings == ["Text recognition failed on page 1: RuntimeError."]


def test_missing_engine_is_a_warning() -> None:
    if importlib.util.find_spec("rapidocr"):
        pytest.skip("RapidOCR is installed.")
    _, facts = read(SCAN)
    assert facts.warnings == ["Text recognition failed on page 1: ModuleNotFoundError."]


def test_pages_over_the_limit_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = use_engine(monkeypatch, found("First."))
    _, facts = read(joined(SCAN, SCAN, SCAN), pages=1)
    assert (len(seen), facts.pages_without_text, facts.pages_recognized) == (1, 2, 1)
    assert facts.warnings == ["Text was recognised on 1 pages without text at most (max_ocr_pages of the dataset)."]


def test_no_page_is_begun_after_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = use_engine(monkeypatch)
    _, facts = read(SCAN, seconds=-1)
    assert (seen, facts.pages_without_text) == ([], 1)
    assert facts.warnings == ["Text recognition ended after -1 seconds, with 0 pages."]


def test_limits_grow_with_the_pages_up_to_a_bound() -> None:
    plain, some, many = (ParsingLimits().with_ocr("rapidocr", pages) for pages in (0, 2, 200))
    assert plain == ParsingLimits()
    assert (some.ocr_seconds, some.cpu_seconds - plain.cpu_seconds) == (40, 100)
    assert (many.ocr_seconds, many.memory_bytes) == (MAX_OCR_SECONDS, OCR_MEMORY_BYTES)
    assert ParsingLimits().with_ocr("tika", 2).memory_bytes == plain.memory_bytes


@pytest.mark.process
class TestEndpoint:
    @pytest.fixture(params=["tika", "docling"])
    def engine(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def use(self, server: OcrServer, engine: str, change: ChangePlatformSettings) -> None:
        change(DOCUMENTS_OCR=engine, DOCUMENTS_OCR_URL=server.url + "/")

    def test_pictures_are_recognised_by_the_endpoint(
        self, engine: str, change_platform_settings: ChangePlatformSettings
    ) -> None:
        with ocr_server("Second page.\n\nIts end.", "") as server:
            self.use(server, engine, change_platform_settings)
            done = extract(joined(TEXT, SCAN, TEXT, SCAN), engine)
        assert [(block.text, block.location["page"]) for block in done.blocks] == [
            ("Written.", 1),
            ("Second page.", 2),
            ("Its end.", 2),
            ("Written.", 3),
        ]
        assert (done.facts.pages_without_text, done.facts.pages_recognized, done.facts.warnings) == (1, 1, [])
        first = server.sent[0]
        assert len(server.sent) == 2
        assert PNG in first.body
        if engine == "tika":
            assert (first.method, first.path, first.content_type) == ("PUT", "/tika", "image/png")
        else:
            assert (first.method, first.path) == ("POST", "/v1/convert/file")
            assert first.content_type.startswith("multipart/form-data; boundary=")
            assert b'name="files"; filename="page.png"' in first.body
            assert b'name="to_formats"\r\n\r\ntext\r\n' in first.body

    @pytest.mark.parametrize(
        ("status", "body", "reason"),
        [
            (500, b"", "the endpoint answered 500."),
            (404, b"", "the endpoint answered 404."),
            (200, b"x" * 600_000, "the endpoint answered more than 524288 bytes."),
        ],
    )
    def test_failure_is_a_warning_and_ends_the_recognition(
        self, engine: str, change_platform_settings: ChangePlatformSettings, status: int, body: bytes, reason: str
    ) -> None:
        with ocr_server() as server:
            self.use(server, engine, change_platform_settings)
            server.status, server.body = status, body
            done = extract(joined(TEXT, SCAN, SCAN), engine)
        assert len(server.sent) == 1
        assert (done.facts.pages_without_text, done.facts.pages_recognized) == (2, 0)
        assert done.facts.warnings == [f"Text recognition failed on page 2 and was given up: {reason}"]

    def test_scan_without_any_text_is_refused_with_the_reason(
        self, engine: str, change_platform_settings: ChangePlatformSettings
    ) -> None:
        with ocr_server() as server:
            self.use(server, engine, change_platform_settings)
            server.status = 503
            with pytest.raises(FileWithoutTextError, match=r"no text\. Text recognition failed on page 1.*503"):
                extract(SCAN, engine)

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"[" * 100_000, "the endpoint returned an invalid response."),
            (b"{}", "the endpoint returned an invalid response."),
            (b'{"status": "success", "document": null}', "the endpoint returned an invalid response."),
            (b'{"status": "failure", "document": {}}', "docling ended with 'failure'."),
        ],
    )
    def test_other_answer_of_docling_is_a_failure(
        self, change_platform_settings: ChangePlatformSettings, body: bytes, reason: str
    ) -> None:
        with ocr_server() as server:
            self.use(server, "docling", change_platform_settings)
            server.body = body
            done = extract(joined(TEXT, SCAN), "docling")
        assert done.facts.warnings == [f"Text recognition failed on page 2 and was given up: {reason}"]

    def test_endpoint_that_is_away_is_a_warning(self, change_platform_settings: ChangePlatformSettings) -> None:
        with ocr_server() as server:
            pass
        self.use(server, "tika", change_platform_settings)
        done = extract(joined(TEXT, SCAN), "tika")
        assert done.facts.warnings[0].startswith("Text recognition failed on page 2 and was given up: ")

    def test_time_bounds_the_calls(self, change_platform_settings: ChangePlatformSettings) -> None:
        limits = replace(ParsingLimits().with_ocr("tika", 2), ocr_seconds=-1.0)
        late = EndpointRecognition(limits, check_running=lambda: None, dependency=pytest.fail)
        late.recognize(3, PNG)
        done = late.add_to(Extraction([], Facts()))
        assert done.facts.warnings == ["Text recognition ended after -1 seconds, before page 3."]

    def test_platform_without_recognition_sends_nothing(self) -> None:
        done = extract(joined(TEXT, SCAN), "off")
        assert done.facts.pages_without_text == 1
        assert done.facts.warnings == ["The platform recognises no text (setting DOCUMENTS_OCR)."]


@pytest.mark.process
def test_rapidocr_reads_a_scan_in_the_sandbox() -> None:
    if not importlib.util.find_spec("rapidocr"):
        pytest.skip("RapidOCR is not installed: requirements-ocr.txt.")
    sparse = draw_pdf(lines("Annual report", "of the scheduler"))
    done = extract(joined(TEXT, scan_of(draw_pdf(lines(*PROSE, "and so on.", y=TOP))), scan_of(sparse)), "rapidocr")
    assert done.facts.warnings == []
    assert (done.facts.pages_recognized, done.facts.pages_without_text) == (2, 0)
    read_text = " ".join(block.text for block in done.blocks)
    assert "selects the child with the least virtual time, and charges the predicted cost" in read_text
    assert "they have selected. and so on." in read_text
    assert "Annual report of the scheduler" in read_text.replace("\n", " ")


def test_check_names_the_cure_of_a_missing_engine(
    change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_text_recognition(None) == []
    change_platform_settings(DOCUMENTS_OCR="rapidocr")
    monkeypatch.setattr(recognition.importlib.util, "find_spec", lambda name: None)
    (fault,) = check_text_recognition(None)
    assert fault.id == "retrieval.E001"
    assert "requirements-ocr.txt" in str(fault.hint)
