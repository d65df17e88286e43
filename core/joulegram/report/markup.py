"""HTML that cannot forget to escape: text goes in as text, only what `tag` made goes in as markup."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

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


def section(name: str, title: str, *content: object) -> Html:
    """A section of the page under its heading."""
    return tag("section", tag("h2", title, id=f"{name}-title"), *content, id=name, aria_labelledby=f"{name}-title")


def table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    numeric: Iterable[int] = (),
) -> Html:
    """A table whose first cells head their rows; `numeric` columns stand to the right."""
    right = dict.fromkeys(numeric, "number")
    head = tag("tr", *(tag("th", text, scope="col", class_=right.get(i)) for i, text in enumerate(heads)))
    body = (
        tag(
            "tr", tag("th", row[0], scope="row"), *(tag("td", c, class_=right.get(i)) for i, c in enumerate(row[1:], 1))
        )
        for row in rows
    )
    made = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption)
