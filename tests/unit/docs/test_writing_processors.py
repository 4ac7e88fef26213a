"""The example in docs/how-to/writing_processors.md runs without changes."""

import json
import re
import uuid
from pathlib import Path

import jsonschema
import pytest

from scheduling.kit.base import Complete, Discard, Interrupted, JobContext, PermanentError, TaskProcessor, Yielded

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "writing_processors.md"
BLOCK = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)


class RecordingRuntime:
    """Runtime that requests a yield or an interruption after some texts, and records progress and checkpoint."""

    def __init__(self, yields_after=None, interrupted_after=None):
        self.yields_after = yields_after
        self.interrupted_after = interrupted_after
        self.progress = []
        self.state = {}

    def checkpoint(self, state, effects):
        assert effects is None
        self.state = json.loads(json.dumps(state))

    def in_settlement(self, effects):
        raise AssertionError("the example has no effects")

    def report_progress(self, current, total, message):
        self.progress.append((current, total))

    def should_yield(self):
        if len(self.progress) == self.interrupted_after:
            raise Interrupted("shutdown")
        return len(self.progress) == self.yields_after


@pytest.fixture
def processor():
    names = {"__name__": "example"}
    exec(compile(BLOCK, str(PAGE), "exec"), names)
    return names["WordCount"]()


def context(texts, *, state=None, runtime=None):
    ids = [uuid.uuid4() for _ in range(3)]
    return JobContext(
        *ids, "word_count", {"texts": texts}, 1, state or {}, 1, "key", None, runtime or RecordingRuntime()
    )


def test_example_is_a_processor_of_at_most_35_lines(processor):
    assert len(BLOCK.splitlines()) <= 35
    assert isinstance(processor, TaskProcessor)


def test_example_counts_and_reports_progress(processor):
    runtime = RecordingRuntime()
    outcome = processor.process(context(["to be or", "not to be"], runtime=runtime))
    assert outcome == Complete({"most_common": {"to": 2, "be": 2, "or": 1}})
    assert runtime.progress == [(1, 2), (2, 2)]


def test_example_resumes_where_it_yielded(processor):
    texts = ["to be", "or not", "to be"]
    first = processor.process(context(texts, runtime=RecordingRuntime(yields_after=2)))
    assert isinstance(first, Yielded)
    assert first.state["done"] == 2
    runtime = RecordingRuntime()
    second = processor.process(context(texts, state=first.state, runtime=runtime))
    assert runtime.progress == [(3, 3)]
    assert second == processor.process(context(texts))


def test_example_resumes_at_its_checkpoint_after_interruption(processor):
    texts = ["to be", "or not", "to be"]
    stopped = RecordingRuntime(interrupted_after=2)
    with pytest.raises(Interrupted):
        processor.process(context(texts, runtime=stopped))
    runtime = RecordingRuntime()
    outcome = processor.process(context(texts, state=stopped.state, runtime=runtime))
    assert runtime.progress == [(3, 3)]
    assert outcome == processor.process(context(texts))


def test_example_fails_permanently_on_an_empty_text(processor):
    with pytest.raises(PermanentError, match="Text 2 is empty"):
        processor.process(context(["to be", "  "]))


def test_example_discards_on_memory_error_and_leaves_other_errors(processor):
    assert isinstance(processor.handle_error(context(["a"]), MemoryError()), Discard)
    assert processor.handle_error(context(["a"]), OSError()) is None


@pytest.mark.parametrize("payload", [{}, {"texts": []}, {"texts": [1]}, {"texts": "to be"}])
def test_example_refuses_an_invalid_payload(processor, payload):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(payload, processor.payload_schema)
