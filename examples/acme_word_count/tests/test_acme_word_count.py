"""The kinds work, and an installed package names them."""

from importlib.metadata import entry_points
from uuid import UUID

import pytest
from jsonschema import ValidationError

from acme_word_count.corpus import CorpusCount
from acme_word_count.processor import WordCount
from acme_word_count.routing import by_length
from acme_word_count.tasks import greet
from scheduling.kit.base import KIT_VERSION, AwaitChildren, ChildJob, Complete, PermanentError, Yielded
from scheduling.kit.routing import CandidateQueue, RoutedJob
from scheduling.kit.testing import RecordingRuntime, try_processor


def test_words_are_counted():
    tried = try_processor(WordCount, {"texts": ["to be or", "not to be"], "commonest": 1})
    assert tried.outcome == Complete({"words": 6, "commonest": {"to": 2}})
    assert tried.runtime.progress[-1] == (2, 2, "")


def test_it_goes_on_where_it_gave_its_slot_back():
    payload = {"texts": ["to be", "or not", "to be"]}
    # Each text has two safe points: its checkpoint, and its question whether to make room.
    first = try_processor(WordCount, payload, runtime=RecordingRuntime(yields_after=2))
    assert isinstance(first.outcome, Yielded)
    second = try_processor(WordCount, payload, state=first.outcome.state)
    assert second.outcome == try_processor(WordCount, payload).outcome
    assert len(second.runtime.progress) == 2


def test_an_empty_text_is_refused():
    assert isinstance(try_processor(WordCount, {"texts": [" "]}).error, PermanentError)
    with pytest.raises(ValidationError):
        try_processor(WordCount, {"texts": []})


def test_a_corpus_is_counted_by_children():
    payload = {"documents": ["to be", "or not"]}
    first = try_processor(CorpusCount, payload)
    assert first.outcome == AwaitChildren({"asked": 2})
    assert [child.payload for child in first.runtime.submitted] == [{"texts": ["to be"]}, {"texts": ["or not"]}]
    done = [ChildJob(UUID(int=n), "acme_word_count", "completed", {"words": 2}, "", "") for n in range(2)]
    second = try_processor(CorpusCount, payload, state={"asked": 2}, runtime=RecordingRuntime(known_children=done))
    assert second.outcome == Complete({"documents": 2, "words": 4})


def test_a_greeting_is_a_job_and_a_call():
    assert try_processor(greet.kind_class, {"name": "you"}).outcome.result["is_job"]
    assert greet("you")["greeting"] == "Hello you."


def test_the_package_names_its_kinds():
    points = {point.name: point.load() for point in entry_points(group="jobsplatform.processors")}
    assert points["acme_word_count"] is WordCount
    assert points["acme_greeting"] is greet
    assert KIT_VERSION[0] == 1


@pytest.mark.parametrize(("text", "queue"), [("short", "near"), ("long " * 3_000, "large")])
def test_strategy_sends_long_texts_to_the_pool_with_the_most_slots(text, queue):
    pools = [
        CandidateQueue("near", "near", live_slots=2, waiting_seconds=1.0),
        CandidateQueue("large", "large", live_slots=40, waiting_seconds=900.0),
    ]
    choice = by_length(RoutedJob("acme_word_count", "team", "", {"texts": [text]}), pools)
    assert choice.queue == queue
    assert choice.reason
