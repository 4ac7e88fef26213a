"""Reading of a file as an upload and its job read it, and the end that a test expects of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from uuid import UUID

import pytest
from django.core.files.base import ContentFile

from scheduling.kit.base import PermanentError
from workloads.documents.extraction.limits import MIB, ParsingLimits
from workloads.documents.indexing.inspection import inspect_documents
from workloads.documents.one_item import steps
from workloads.documents.one_item.item import IndexingItem, IndexingSettings, IndexingState
from workloads.documents.one_item.steps import StepContext
from workloads.documents.split_settings import SplitSettings
from workloads.files.exceptions import UploadRefusedError

# Those of a preview, which are narrower than those of a job.
LIMITS = ParsingLimits(memory_bytes=512 * MIB, cpu_seconds=10, wall_seconds=60.0, output_bytes=32 * MIB)


@dataclass(frozen=True)
class Case:
    """A file and its end: a refusal by a code, or chunks with a text and, if any is expected, a warning."""

    name: str
    make: Callable[[], bytes]
    text: str = ""
    code: str = ""
    warning: str = ""
    lacks: str = ""
    encoding: str = ""
    limits: ParsingLimits = LIMITS


@dataclass(frozen=True)
class Ending:
    """How the reading of a file ended. ``text`` is that of the chunks, or the message of a refusal."""

    code: str
    text: str
    warnings: tuple[str, ...] = ()


def cases(**given: Case) -> pytest.MarkDecorator:
    """Return the parameters of a test with these cases, whose names are its ids."""
    return pytest.mark.parametrize("case", list(given.values()), ids=list(given))


def check(case: Case) -> None:
    """Fail unless the file of a case ends as expected, and all that would be stored of it can be stored."""
    ending = read_file(case)
    assert ending.code == case.code, ending
    assert is_storable([ending.text, *ending.warnings]), ending
    assert ending.text.strip()
    assert case.text in ending.text
    assert not case.lacks or case.lacks not in ending.text
    if case.warning:
        assert any(case.warning in warning for warning in ending.warnings), ending.warnings
    else:
        assert ending.warnings == ()


def read_file(case: Case) -> Ending:
    """Return how a file ends that is uploaded, extracted by the parsing process, cleaned and split."""
    content = case.make()
    try:
        (incoming,) = inspect_documents([ContentFile(content, name=case.name)])
    except UploadRefusedError as error:
        return Ending(error.errors[0]["code"], error.errors[0]["detail"])
    settings = IndexingSettings(SplitSettings(200, 20), encoding=case.encoding, parsing=case.limits)
    state = IndexingState(content_type=incoming.content_type)
    item = IndexingItem(UUID(int=1), case.name, case.name, settings, "model", state)
    context = StepContext(lambda: None, lambda _: nullcontext())
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            item = steps.split(steps.clean(steps.extract_from(item, file, context)))
        except PermanentError as error:
            return Ending(error.code, str(error))
    text = "\n".join(f"{' '.join(passage.location.get('headings', ()))}\n{passage.text}" for passage in item.passages)
    return Ending("", text, tuple(item.facts.warnings))


def is_storable(texts: Iterable[str]) -> bool:
    """Return whether PostgreSQL takes the texts: Unicode without NUL."""
    return all("\0" not in text and text == text.encode("utf-8", "replace").decode() for text in texts)
