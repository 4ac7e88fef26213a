"""The processor of the kind `http_call`: one HTTP request, whose response is the job's result.

An expected status completes the job. A client error, which a retry would only repeat, is permanent. Server errors, 429
(too many requests) and network failures are retried.
"""

from __future__ import annotations

import codecs

from django.utils.translation import gettext_noop

from scheduling.kit.base import (
    MAX_DEPENDENCY_CHARACTERS,
    AsyncJobContext,
    AsyncTaskProcessor,
    Complete,
    Json,
    PermanentError,
    TransientError,
)
from scheduling.kit.http import Answer, open_headers, read_target, send_async
from tenants.audit.service import mask_document
from workloads.http_call.payload import MAX_TIMEOUT_SECONDS, SCHEMA, Call, read_call

# As JSON at most six bytes each: with the headers it stays below the limit of a result.
MAX_PREVIEW_CHARACTERS = 8_000
MAX_HEADERS = 100
_PREVIEW_BYTES = 4 * MAX_PREVIEW_CHARACTERS
# Python supports more, some of which are not text or are slow.
_CHARSETS = frozenset(
    {"utf-8", "utf8", "us-ascii", "ascii", "utf-16", "iso-8859-1", "latin-1", "latin1", "iso-8859-15"}
    | {"windows-1252", "windows-1251", "koi8-r", "gbk", "gb2312", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr"}
)
# Client errors that may succeed later: Request Timeout, Too Early, Too Many Requests.
_HEALING_STATUSES = frozenset({408, 425, 429})


class HttpCall(AsyncTaskProcessor):
    """Processor of the kind `http_call`. Each job sends one HTTP request per attempt."""

    kind = "http_call"
    title = gettext_noop("HTTP call")
    description = gettext_noop("Calls a URL once per attempt; repeated calls carry the same idempotency key.")
    payload_schema = SCHEMA
    secret_fields = ("headers",)
    # Longer than the longest call, since name resolution and connecting come on top.
    timeout_seconds = MAX_TIMEOUT_SECONDS + 30.0
    # A host fails, not the kind: calls to others continue.
    has_circuit = False

    async def process(self, context: AsyncJobContext) -> Complete:  # type: ignore[override]  # as its base does
        call = read_call(context.payload, idempotency_key=context.idempotency_key)
        context.log("calling", method=call.method, body_bytes=len(call.body))
        async with context.dependency(read_target(call.url).authority[:MAX_DEPENDENCY_CHARACTERS]):
            headers = await context.run(open_headers, context.tenant_id, call.url, call.headers)
            answer = await send_async(call.method, call.url, headers=headers, body=call.body, limits=call.limits)
            context.log("answered", url=answer.url, status=answer.status, body_bytes=len(answer.body))
            return conclude(call, answer)


def conclude(call: Call, answer: Answer) -> Complete:
    """Return the job's result for an expected status; raise `TransientError` or `PermanentError` for any other."""
    if call.is_expected(answer.status):
        return Complete(result_of(answer))
    message, code = f"{answer.url} answered with the status {answer.status}.", f"http_{answer.status}"
    if answer.status >= 500 or answer.status in _HEALING_STATUSES:
        raise TransientError(message, code=code, retry_after_seconds=answer.retry_after_seconds)
    raise PermanentError(message, code=code)


def result_of(answer: Answer) -> Json:
    """Return the part of a response that is stored: the beginning of the body, and headers with secrets masked."""
    text = text_of(answer)
    return {
        "status": answer.status,
        "url": answer.url,
        "redirects": answer.redirects,
        "headers": mask_document(dict(answer.headers[:MAX_HEADERS])),
        "body": None if text is None else text[:MAX_PREVIEW_CHARACTERS],
        "body_bytes": len(answer.body),
        "is_body_cut": answer.is_cut or len(answer.body) > _PREVIEW_BYTES or len(text or "") > MAX_PREVIEW_CHARACTERS,
    }


def text_of(answer: Answer) -> str | None:
    """Return the beginning of the body as text; None if the bytes are not text, such as a picture."""
    charset = "utf-8"
    for part in answer.header("content-type").split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip(" \"'").lower() or charset
    if charset not in _CHARSETS or answer.header("content-encoding").lower() not in ("", "identity"):
        return None
    decoder = codecs.getincrementaldecoder(charset)()
    try:
        # Not final: the last character may be cut in half.
        # A result holds no NUL.
        return decoder.decode(answer.body[:_PREVIEW_BYTES]).replace("\0", "\ufffd")
    except UnicodeError:
        return None
