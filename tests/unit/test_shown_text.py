"""What pages show of names and messages is text, never markup of their own."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from facegraft.core.project import Project
from flows.artifacts import code, plain
from flows.report import write_report

EVIL = "<img src=x onerror=alert(1)>"
KNOWN = {"table", "tr", "td", "th", "h1", "h2", "p", "ul", "li", "a", "html", "meta", "title",
         "style", "figure", "figcaption", "img", "span", "b", "head", "body", "header",
         "div", "thead", "tbody"}  # fmt: skip


class Tags(HTMLParser):
    """Collects attributes of every tag, and the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_the_report_page_shows_evil_names_as_text(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for folder in (project.evaluation, project.promotion, project.validation):
        folder.mkdir(parents=True)
    (project.evaluation / "pairs.png").write_bytes(b"picture")
    loss = {"same": 0.1, "different": 0.2, "auc": EVIL}
    rule = {"rule": EVIL, "passed": True, "meaning": EVIL, "observed": EVIL}
    decision = {"challenger": EVIL, "champion_before": EVIL, "champion_now": EVIL}
    for path, content in {
        project.evaluation / "benchmark.json": {"pairs": EVIL, f"model/{EVIL}": EVIL},
        project.evaluation / "calibration.json": {"identity_loss": loss, "attribute_loss": loss},
        project.promotion / "decision.json": {"promoted": True, "reasons": [EVIL], **decision},
        project.validation / "report.json": {"rules": [rule]},
    }.items():
        path.write_text(json.dumps(content), encoding="utf-8")
    page = write_report(project, project.swaps, {EVIL: EVIL}, title=EVIL)
    seen = Tags()
    seen.feed(page.read_text(encoding="utf-8"))
    assert set(seen.names) <= KNOWN
    assert "onerror" not in seen.attributes
    assert seen.names.count("img") == 1


def test_markdown_shows_evil_names_as_text() -> None:
    from markdown_it import MarkdownIt

    evil = [EVIL, "[a](javascript:alert(1))", "![a](http://x/y.png)", "`a`", "**a**", "a|b\n# c"]
    for text in evil:
        page = MarkdownIt("commonmark").render(f"## on {plain(text)}\n\n{code(Path(text))}\n")
        seen = Tags()
        seen.feed(page)
        assert seen.names == ["h2", "p", "code"], page
