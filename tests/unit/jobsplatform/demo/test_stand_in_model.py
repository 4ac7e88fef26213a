"""Stand-in for a model: it answers from its prompt, and is not used if a real one is configured."""

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
def test_answer_is_the_beginning_of_the_prompt(prompt: str, answer: str) -> None:
    assert answer_to(prompt) == answer
    assert len(answer_to(prompt)) <= MOST_CHARACTERS + 2


def test_stand_in_model_streams_inside_its_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    with some_model() as name:
        assert (name, os.environ[MODEL_VARIABLE]) == (NAME, NAME)
        asked = {"model": name, "messages": [{"role": "user", "content": "Tea is warm."}], "stream": True}
        answer = httpx.post(f"{os.environ[URL_VARIABLE]}/chat/completions", json=asked)
        assert '"content": "Tea"' in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")
    assert URL_VARIABLE not in os.environ


def test_configured_model_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "https://models.example/v1")
    monkeypatch.setenv(MODEL_VARIABLE, "large")
    with some_model() as name:
        assert (name, os.environ[URL_VARIABLE]) == ("large", "https://models.example/v1")
