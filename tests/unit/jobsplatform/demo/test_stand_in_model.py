"""The stand-in for a model: it answers like one, from what it is given, and steps back for a real one."""

from __future__ import annotations

import os

import httpx
import pytest

from jobsplatform.demo.stand_in_model import MODEL_VARIABLE, MOST_CHARACTERS, NAME, URL_VARIABLE, answer_to, some_model


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Text 3, in one sentence: Tea  is\nwarm.", "Tea is warm."),
        ("[1] The first passage.\n[2] The second.\nWhat?", "The first passage. [2] The second. What?"),
        ("What do these say together?\n- one\n- two", "- one - two"),
        ("word " * 100, ("word " * 40).strip() + " …"),
    ],
)
def test_an_answer_is_the_beginning_of_what_is_given(prompt: str, answer: str) -> None:
    assert answer_to(prompt) == answer
    assert len(answer_to(prompt)) <= MOST_CHARACTERS + 2


def test_it_streams_within_its_block_and_is_gone_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    with some_model() as name:
        assert (name, os.environ[MODEL_VARIABLE]) == (NAME, NAME)
        asked = {"model": name, "messages": [{"role": "user", "content": "Tea is warm."}], "stream": True}
        answer = httpx.post(f"{os.environ[URL_VARIABLE]}/chat/completions", json=asked)
        assert '"content": "Tea"' in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")
    assert URL_VARIABLE not in os.environ


def test_a_model_that_is_named_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "https://models.example/v1")
    monkeypatch.setenv(MODEL_VARIABLE, "large")
    with some_model() as name:
        assert (name, os.environ[URL_VARIABLE]) == ("large", "https://models.example/v1")
