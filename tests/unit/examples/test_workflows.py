"""The example workflows are valid by the validator and by the published schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.conf import settings
from jsonschema import Draft202012Validator

from workloads.workflows.definition.schema import definition_schema
from workloads.workflows.definition.validation import faults_in

EXAMPLES = sorted(Path(settings.BASE_DIR / "examples" / "workflows").glob("*.json"))


def test_four_examples_exist_of_which_one_has_an_approval() -> None:
    texts = [path.read_text() for path in EXAMPLES]
    assert len(texts) == 4
    assert sum('"approval"' in text for text in texts) == 1


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_valid(path: Path) -> None:
    definition = json.loads(path.read_text())
    assert faults_in(definition) == []
    assert list(Draft202012Validator(definition_schema()).iter_errors(definition)) == []
