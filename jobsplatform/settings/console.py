"""Settings of the console for unfold: title, colours, styles, scripts."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.translation import gettext_lazy


def _console_style(request: HttpRequest) -> str:
    return static("console/css/console.css")


def _console_charts(request: HttpRequest) -> str:
    return static("console/css/charts.css")


def _console_script(request: HttpRequest) -> str:
    return static("console/js/console.js")


def _console_keys(request: HttpRequest) -> str:
    return static("console/js/keys.js")


def _console_icon(request: HttpRequest) -> str:
    return static("console/icon.svg")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": gettext_lazy("Jobs platform"),
    "SITE_HEADER": gettext_lazy("Jobs platform"),
    "SITE_SYMBOL": "balance",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _console_icon}],
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "SHOW_LANGUAGES": True,
    "STYLES": [_console_style, _console_charts],
    "SCRIPTS": [_console_script, _console_keys],
    "LOGIN": {"form": "jobsplatform.console.login_form.ConsoleLoginForm"},
    "ENVIRONMENT": "tenants.console.tenant_label.tenant_label",
    "DASHBOARD_CALLBACK": "scheduling.overview.page.add_overview",
    # The site itself builds the menu.
    "SIDEBAR": {"show_search": True, "show_all_applications": False},
    # Text on primary-600, and primary-500 on the dark background, have a contrast above 4.5.
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 254.604)",
            "100": "oklch(93.2% .032 255.585)",
            "200": "oklch(88.2% .059 254.128)",
            "300": "oklch(80.9% .105 251.813)",
            "400": "oklch(70.7% .165 254.624)",
            "500": "oklch(64.5% .19 257.5)",
            "600": "oklch(52% .215 262.881)",
            "700": "oklch(46% .215 264.376)",
            "800": "oklch(42.4% .199 265.638)",
            "900": "oklch(37.9% .146 265.522)",
            "950": "oklch(28.2% .091 267.935)",
        },
    },
}
