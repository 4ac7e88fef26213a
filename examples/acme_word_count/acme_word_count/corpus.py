"""Words counted over many documents, each by a job of its own: fan-out and fan-in."""

from __future__ import annotations

from scheduling.kit.base import AwaitChildren, Complete, JobContext, PermanentError, TaskProcessor


class CorpusCount(TaskProcessor):
    """Counts the words of many documents side by side, and adds them up when all are counted.

    It holds no slot while its children work.
    """

    kind = "acme_corpus_count"
    title = "Count the words of a corpus (Acme)"
    timeout_seconds = 60
    payload_schema = {
        "type": "object",
        "properties": {"documents": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1_000}},
        "required": ["documents"],
        "additionalProperties": False,
    }

    def process(self, context: JobContext) -> Complete | AwaitChildren:
        if not context.state:
            for document in context.payload["documents"]:
                context.submit_child("acme_word_count", {"texts": [document]})
            return AwaitChildren({"asked": len(context.payload["documents"])})
        children = context.children()
        failed = [child for child in children if child.state != "completed"]
        if failed:
            raise PermanentError(f"{len(failed)} of {len(children)} documents could not be counted.", code="uncounted")
        return Complete({"documents": len(children), "words": sum(child.result["words"] for child in children)})
