"""Words of a template outside of translate tags, which are shown in English in every language."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Names of icons, units and input for a terminal or the query box are the same in every language.
SAME_EVERYWHERE = frozenset(
    {
        "-kind:noop",
        "add",
        "bad",
        "chevron_right",
        "dock_to_right",
        "manage_search",
        "close",
        "construction",
        "domain",
        "filter_list_off",
        "inbox",
        "manage.py diagnose",
        "night",
        "progress_activity",
        "search",
        "state:discarded queue:pipeline age:&gt;1h",
        "unfold_more",
        "Ctrl",
        "Enter",
        "Jain",
        "MiB",
        "UTC",
        "p50",
        "p95",
        "p99",
        "ms",
    }
)
_COMMENT = re.compile(r"{% comment %}.*?{% endcomment %}|{#.*?#}", re.DOTALL)
_TRANSLATED = re.compile(r"{% blocktrans(?:late)?\b.*?{% endblocktrans(?:late)? %}", re.DOTALL)
_NOT_SHOWN = re.compile(r"<(script|style)\b.*?</\1>|{% block (?:bodyclass|coltype) %}.*?{% endblock %}", re.DOTALL)
_TAG = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
_ATTRIBUTE = re.compile(r"""\b(?:aria-label|title|placeholder|alt)="([^"\0]*)\"""")
_ARGUMENT = re.compile(r"""{% include [^%]*\b(?:title|text|label)="([^"]+)\"""")
_WORD = re.compile(r"[A-Za-z]{2}")


def untranslated(source: str) -> Iterator[str]:
    """Yield each text, attribute or argument that contains a word and is in no translate tag."""
    yield from _ARGUMENT.findall(source)
    for hidden in (_COMMENT, _TRANSLATED, _NOT_SHOWN, _TAG):
        source = hidden.sub("\0", source)
    found = _ATTRIBUTE.findall(source)
    found += re.split(r"[\n\0]", re.sub(r"<[^>]*>", "\n", source))
    for text in found:
        said = text.strip(" ·,.:;()–…")
        if _WORD.search(said) and said not in SAME_EVERYWHERE:
            yield said
