"""Put text beside a result: every output carries HTML and plain text."""

from html import escape

from IPython.display import display

__all__ = ["show_html", "show_text"]


def show_html(html: str, text: str) -> None:
    """Show HTML, with the same in plain text for where HTML is not rendered."""
    display({"text/html": html, "text/plain": text}, raw=True)


def show_text(text: str) -> None:
    """Show a line or two of plain text."""
    show_html(f"<pre>{escape(text)}</pre>", text)
