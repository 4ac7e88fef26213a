"""Texts of the console in Chinese: which of their words are English prose."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser

from scheduling.migrations._alert_seeds import (
    ANOMALY_RULES,
    BACKUP_RULES,
    EFFECT_RULES,
    IDENTITY_RULES,
    LOAD_RULES,
    RULES,
)
from scheduling.migrations._shedding_seeds import RULES as SHEDDING_RULES

# Elements whose text is not prose: code to copy, user input, names of icons.
UNREAD = "script, style, noscript, template, code, pre, textarea, kbd, [translate=no], .material-symbols-outlined"
ATTRIBUTES = ("aria-label", "title", "placeholder", "alt")
WORD = re.compile(r"[A-Za-z]{2,}(?:['’-][A-Za-z]+)*")
# Text to be typed as it stands: JSON in braces, a shell command in quotation marks.
TYPED = re.compile(r"JSON Schema|\{[^{}]*(?:\{[^{}]*\{?[^{}]*\}+)?[^{}]*\}+|`+[^`]*`+|“[^”]*”")
# The same in every language: products and formats, units, and identifiers of the API, filters and settings.
SAME_EVERYWHERE = """
english openai github markdown python logging rabbitmq redis webhook webhooks sitemap message-id
cron jain kib mib beat slug llm http https celery streams
en zh-hans localtime slack microsoft teams pagerduty opsgenie
noop sleep fail crash spin allocate
dataset pipeline workflow tasks maintenance default io small medium large text key system worker
all allow both first second skip none latest standard queue one cancel previous
debug info warning error hybrid vector true false null enabled noeviction
datasource extract clean split embed load priority tags deadline
question document passage
logs source code
landlock seccomp cgroup erasures rollups artifacts partitions history baselines
rpo rto bucket prefix
soc iso iec gdpr cc
"""
# Rows of this world and of its migrations: stored texts are shown as written.
ROWS = """
acme globex monthly greta saas gustav newcomer outsider viewer developer owner auditor operator admin
greeting soon handbook nightly ops timeout keyerror pages spare upload broke parseerror start send it test
order orders paid shop reconciliation
cloud community professional sandbox team api guest four
case groups auditors labels reviewer
"""
NAMES = frozenset((SAME_EVERYWHERE + ROWS).split())
NAMES_OF_RULES = {
    facts[0]
    for facts in {**RULES, **ANOMALY_RULES, **LOAD_RULES, **BACKUP_RULES, **EFFECT_RULES, **IDENTITY_RULES}.values()
} | {name for name, *_ in SHEDDING_RULES}
STORED = re.compile(
    # Stored errors.
    r"failing as requested|page (?:#|\d+) is torn|No mail server is set \(EMAIL_HOST\)\."
    "|Retry-After|One slot for the platform's own upkeep|Serves the queues of all job kinds|initial version"
    "|Runs asynchronous kinds, whose slots wait"
    r"|document into handbook|\d+ of \d+ entities|run begins|entity ended|层次 tenant"
    r"|Control K|^(?:name|prefix|scopes|ok)$"
    r"|\d+ / \d+ · entities|\w*\*{6,}"
    r"|[Uu]pkeep: \w+|account [\w-]+, address|seen \d+, state \w+, changed \d+, operation \w+"
    r"|name one_scope, role , prefix \w+, scopes"
    r"|since \S+, until \S+, template \w+"
    # A suspect, in the language of the person who asked.
    r"|The platform itself had a fault at this time\."
    r"|The archive – is away, and nothing is deleted.*"
    r"|Traceback \(most recent call last\): …"
    # Names of the shipped alert rules and of their contact group, of rules of this world, the end of a contact's URL.
    rf"|{'|'.join(map(re.escape, sorted(NAMES_OF_RULES, reverse=True)))}|Platform admins|waits|seen|…erts"
)
# Untranslated texts of beat's own pages.
BEATS = frozenset({"Task Name", "Crontab translation", "Human readable", "Every minute UTC"})


def texts_of(page: str) -> Iterator[str]:
    """Yield each text that a page shows or announces, without code."""
    tree = LexborHTMLParser(page)
    for node in tree.css(UNREAD):
        node.decompose()
    # A choice whose label equals its value: an identifier.
    for option in tree.css("option"):
        if option.text(strip=True).replace(" ", "_") == option.attributes.get("value"):
            option.decompose()
    yield from filter(None, (text.strip() for text in (tree.body or tree.root).text(separator="\n").split("\n")))
    for name in ATTRIBUTES:
        yield from (str(node.attributes[name]) for node in tree.css(f"[{name}]") if node.attributes[name])


def english_words(text: str) -> list[str]:
    """Return the words of a text that are no names: an identifier has a sign or a digit, and names are listed above."""
    if text in BEATS:
        return []
    words = []
    for token in re.split(r"[^\x21-\x7e]+|[,;()]", STORED.sub(" ", TYPED.sub(" ", text))):
        word = token.strip(".,:;!?'\"“”()[]{}<>*#…")
        is_word = WORD.fullmatch(word) is not None and not word.isupper()
        if is_word and word.lower() not in NAMES:
            words.append(word)
    return words
