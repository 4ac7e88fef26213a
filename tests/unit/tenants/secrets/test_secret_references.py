"""References to secrets: syntax, places, and texts without any."""

from __future__ import annotations

import sys

import pytest

from tenants.secrets.references import (
    SecretReference,
    faults_of_references,
    is_reference,
    mentions_secret,
    split_references,
)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("plain", ("plain",)),
        ("Bearer {{ secrets.api }}", ("Bearer ", SecretReference("api"))),
        ("{{secrets.a}}{{ secrets.b_2 }}!", (SecretReference("a"), SecretReference("b_2"), "!")),
        ("the secrets.api of {{ inputs.x }}", ("the secrets.api of {{ inputs.x }}",)),
        ("{{ secrets.Api }}", ("{{ secrets.Api }}",)),
        ("{{ secrets.a | upper }}", ("{{ secrets.a | upper }}",)),
    ],
)
def test_text_is_split_at_its_references(text: str, pieces: tuple[object, ...]) -> None:
    assert split_references(text) == pieces
    assert "".join(map(str, split_references(text))).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("text", ["{{ secrets.a }}", '{{- secrets["a"] }}', "x {{\n secrets }}", "{{ secrets.A|e }}"])
def test_mention_of_secrets_is_found(text: str) -> None:
    assert mentions_secret(text)


@pytest.mark.parametrize(
    "text", ["secrets.a", "{{ my_secrets.a }}", "{{ inputs.secrets }}", "{{ secretsx.a }}", "{ secrets.a }"]
)
def test_other_text_is_not_a_mention(text: str) -> None:
    assert not mentions_secret(text)


def test_reference_with_other_text_is_not_a_reference() -> None:
    assert is_reference(" {{ secrets.a }} ")
    assert not any(map(is_reference, ["{{ secrets.a }}b", "a", 7, None]))


def test_faults_name_their_places() -> None:
    document = {
        "headers": {"A": "{{ secrets.a }}", "B": "{{ secrets.b | upper }}", "{{ secrets.c }}": "x"},
        "body": [{"x/y": "{{ secrets.d }}"}],
    }
    found = {(fault.code, fault.pointer) for fault in faults_of_references(document, lambda path: path[0] == "headers")}
    assert found == {
        ("secret_reference_invalid", "/headers/B"),
        ("secret_misplaced", "/headers/{{ secrets.c }}"),
        ("secret_misplaced", "/body/0/x~1y"),
    }


def test_deep_document_is_walked_without_recursion() -> None:
    document: object = "{{ secrets.a }}"
    for _ in range(2 * sys.getrecursionlimit()):
        document = [document]
    assert len(list(faults_of_references(document, lambda path: False))) == 1
