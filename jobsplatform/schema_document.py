"""View of the OpenAPI document, which each process builds once for each language and format."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpResponse
from django.utils import translation
from django.utils.translation import get_language
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request


class SchemaView(SpectacularAPIView):
    """View of drf-spectacular with a cache, because the document depends only on language and format."""

    _documents: ClassVar[dict[tuple[str, str], HttpResponse]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return the API's OpenAPI document."""
        language = request.GET.get("lang") or get_language()
        if language not in dict(settings.LANGUAGES):
            language = settings.LANGUAGE_CODE
        key = language, request.accepted_renderer.media_type
        with self._lock:
            if key not in self._documents:
                self._documents[key] = self._build(request, language)
            kept = self._documents[key]
        return HttpResponse(kept.content, headers=kept.headers)

    def _build(self, request: Request, language: str) -> HttpResponse:
        # Without the version that Spectacular's view takes from the query: no input of a client enters the document.
        with translation.override(language):
            document = self.generator_class().get_schema(request=request, public=self.serve_public)
        renderer = request.accepted_renderer
        headers = {
            "Content-Disposition": f'inline; filename="{settings.SPECTACULAR_SETTINGS["TITLE"]}.{renderer.format}"',
            "Content-Type": f"{renderer.media_type}; charset={renderer.charset or 'utf-8'}",
        }
        return HttpResponse(renderer.render(document), headers=headers)
