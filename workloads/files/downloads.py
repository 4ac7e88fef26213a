"""View that downloads a file by a link."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError
from django.http import FileResponse, HttpRequest, HttpResponseBase
from django.views.decorators.http import require_GET

from tenants.api.problems import problem_response
from tenants.exceptions import DatabaseUnavailableError, DomainError
from workloads.files.links import open_link


@require_GET
def download(request: HttpRequest) -> HttpResponseBase:
    """Return the file as an attachment, so that browsers do not show an uploaded file as a page of this host.

    The link's token is in the query string, which no log of the platform contains.
    """
    try:
        found = open_link(request.GET.get("link", ""))
    except DomainError as refusal:
        return problem_response(refusal)
    except (OperationalError, InterfaceError) as error:
        return problem_response(DatabaseUnavailableError(), cause=error)
    answer = FileResponse(found.content, as_attachment=True, filename=found.name, content_type=found.content_type)
    answer.headers["Content-Length"] = str(found.size_bytes)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Cache-Control"] = "private, no-store"
    answer.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return answer
