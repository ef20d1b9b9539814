"""What the site's generator does for us on its way from pages to HTML.

Owns three things: code fences keep to the table in STYLE.md and lose the words that only tests
read; code that stands in a file is taken from there; and the colours of code are written as a
stylesheet, so that no page loads a script for it.

`<!-- include: FILE -->`, on a line of its own, shows a file of the checkout. With the first words
of one of its sections (`<!-- include: FILE: WORDS -->`) it shows that section: what stands between
two pairs of blank lines. Comments at the left margin open the sections, in any language.
"""

import re
from pathlib import Path

from properdocs.exceptions import PluginError
from properdocs.structure.files import File
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).parent.parent
STYLE = ROOT / "STYLE.md"
INCLUDE = re.compile(r"^<!-- include: (?P<file>[^: ]+)(?:: (?P<words>.+))? -->$")
LANGUAGES = {".mjs": "javascript", ".py": "python", ".yaml": "yaml", ".yml": "yaml"}
FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>`{3,})(?P<info>[^`]*)$")


def known_fences():
    """Read the table of fences in STYLE.md."""
    return set(re.findall(r"```` ```([a-z][a-z -]*?) ````", STYLE.read_text(encoding="utf-8")))


def included(file, words):
    """Read a file, or the section of it whose comment begins with these words, as a fence."""
    path = ROOT / file
    if not path.is_file() or path.suffix not in LANGUAGES:
        raise PluginError(f"there is no {file} that can be included")
    sections = path.read_text(encoding="utf-8").strip("\n").split("\n\n\n")
    if words:
        sections = [it for it in sections if it.lstrip("#/\"' ").startswith(words)]
        if len(sections) != 1:
            raise PluginError(f"{file} has {len(sections)} sections that begin with {words!r}")
    return [f"```{LANGUAGES[path.suffix]}", *"\n\n\n".join(sections).split("\n"), "```"]


def on_page_markdown(markdown, page, **_):
    """Check every fence of the page, leave only its language, and put in what is included."""
    known = known_fences()
    lines = []
    ticks = None
    for number, line in enumerate(markdown.split("\n"), start=1):
        fence = FENCE.match(line)
        include = INCLUDE.match(line)
        if include and ticks is None:
            lines.extend(included(include["file"], include["words"]))
            continue
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
