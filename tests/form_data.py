"""What a browser would post of a form: the values of the inputs in its HTML."""

from __future__ import annotations

from html.parser import HTMLParser


class _Inputs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.data: dict[str, str] = {}
        self.name = self.select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag in ("select", "textarea"):
            self.name, self.data[name] = (name if tag == "textarea" else ""), ""
            self.select = name
        elif tag == "option" and "selected" in given:
            self.data[self.select] = given.get("value", "")
        elif tag == "input" and name and given.get("type") not in ("file", "submit"):
            is_box = given.get("type") in ("checkbox", "radio")
            if not is_box or "checked" in given:
                self.data[name] = given.get("value", "on" if is_box else "")

    def handle_data(self, data: str) -> None:
        if self.name:
            self.data[self.name] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # The first line break is not part of the value, and a browser posts CRLF.
            self.data[self.name] = self.data[self.name].removeprefix("\n").replace("\n", "\r\n")
            self.name = ""


def posted(html: str) -> dict[str, str]:
    """Return the posted data of all forms in the HTML, without files and buttons."""
    parser = _Inputs()
    parser.feed(html)
    return parser.data
