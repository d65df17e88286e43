"""HTML that cannot forget to escape: text goes in as text, only what `tag` made goes in as markup."""

from __future__ import annotations

import html

from joulegram.report.words import plain


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def escape(text: object) -> Html:
    """`text` as markup; what is markup already stays as it is."""
    return text if isinstance(text, Html) else Html(html.escape(plain(text)))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element: ``tag("td", "a<b", class_="n") == '<td class="n">a&lt;b</td>'``.

    Args:
        name: the element's name.
        children: text, which is escaped, or markup from `tag`.
        attributes: ``data_field`` is written ``data-field`` and ``class_`` ``class``; None leaves one out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: object) -> Html:
    """The children one after another, text escaped."""
    return Html("".join(map(escape, children)))
