"""Words counted over many texts."""

from __future__ import annotations

from collections import Counter

from scheduling.kit.base import Complete, JobContext, PermanentError, TaskProcessor, Yielded


class WordCount(TaskProcessor):
    """Counts the words of many texts, and tells the commonest.

    It goes on at the text where it stopped, on whatever machine.
    """

    kind = "acme_word_count"
    title = "Count words (Acme)"
    timeout_seconds = 60
    max_retries = 1
    payload_schema = {
        "type": "object",
        "properties": {
            "texts": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1_000},
            "commonest": {"type": "integer", "minimum": 1, "maximum": 100},
        },
        "required": ["texts"],
        "additionalProperties": False,
    }

    def process(self, context: JobContext) -> Complete | Yielded:
        texts, done = context.payload["texts"], context.state.get("done", 0)
        counts = Counter(context.state.get("counts", {}))
        for done, text in enumerate(texts[done:], done + 1):
            if not text.strip():
                raise PermanentError(f"Text {done} is empty.", code="text_empty")
            counts.update(text.lower().split())
            state = {"done": done, "counts": counts}
            context.checkpoint(state)
            context.report_progress(done, len(texts))
            if done < len(texts) and context.should_yield():
                return Yielded(state)
        context.log("counted", texts=len(texts), words=counts.total())
        return Complete({"words": counts.total(), "commonest": dict(counts.most_common(context.payload.get("commonest", 3)))})
