"""The admin console's shell: title, palette, navigation."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Jobs platform",
    "SITE_HEADER": "Jobs platform",
    "SITE_URL": "/admin/",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SIDEBAR": {"show_search": True, "show_all_applications": True},
}
