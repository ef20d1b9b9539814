"""What the site's generator does for us on its way from pages to HTML.

Owns two things: code fences keep to the table in STYLE.md and lose the words that only tests
read; and the colours of code are written as a stylesheet, so that no page loads a script for it.
"""

import re
from pathlib import Path

from properdocs.exceptions import PluginError
from properdocs.structure.files import File
from pygments.formatters import HtmlFormatter

STYLE = Path(__file__).parent.parent / "STYLE.md"
FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>`{3,})(?P<info>[^`]*)$")


def known_fences():
    """Read the table of fences in STYLE.md."""
    return set(re.findall(r"```` ```([a-z][a-z -]*?) ````", STYLE.read_text(encoding="utf-8")))


def on_page_markdown(markdown, page, **_):
    """Check every fence of the page, and leave only its language."""
    known = known_fences()
    lines = []
    ticks = None
    for number, line in enumerate(markdown.split("\n"), start=1):
        fence = FENCE.match(line)
        if fence and ticks is None:
            info = fence["info"].strip()
            if info not in known:
                place = f"{page.file.src_path}: line {number}"
                raise PluginError(f"{place}: STYLE.md has no fence {info!r} in its table")
            ticks = fence["ticks"]
            line = f"{fence['indent']}{ticks}{info.split()[0]}"
        elif fence and fence["ticks"].startswith(ticks) and not fence["info"].strip():
            ticks = None
        lines.append(line)
    return "\n".join(lines)


def on_files(files, config, **_):
    """Add the stylesheet that colours code, for light pages and for dark ones."""
    light = HtmlFormatter(style="default").get_style_defs(".codehilite")
    dark = HtmlFormatter(style="github-dark").get_style_defs("[data-bs-theme=dark] .codehilite")
    files.append(File.generated(config, "assets/highlight.css", content=f"{light}\n{dark}\n"))
    return files
