"""What an application's README (its data and model card) says, as headings and plain paragraphs."""

from __future__ import annotations

import re
from typing import Any

from evaluation.report.words import markup_free

LONGEST_TEXT = 700  # characters of one section that are shown
SKIPPED = re.compile(r"(?i)\b(run|use|usage|try|quick ?start|commands?|develop|files?)\b")


def read_card(readme: str) -> dict[str, Any]:
    """Returns the facts of a card.

    Args:
        readme: Markdown text.

    Returns:
        `title`, `summary` (the first paragraph) and `facts`: `name` and `text` of each later section, in order, tables
        and code left out, as are sections that only say how to run something.
    """
    title, summary = "", ""
    facts: list[dict[str, str]] = []
    for heading, body in _sections(readme):
        words = _plain(body)
        if not facts and not summary and (not title or heading == ""):
            title, summary = title or heading, words
        elif heading and words and not SKIPPED.search(heading):
            facts.append({"name": heading, "text": words})
    return {"title": title, "summary": summary, "facts": facts}


def _sections(readme: str) -> list[tuple[str, list[str]]]:
    sections: list[tuple[str, list[str]]] = [("", [])]
    in_code = False
    for line in readme.splitlines():
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif in_code:
            continue
        elif found := re.match(r"#{1,6}\s+(.*)", line):
            sections.append((markup_free(found[1]), []))
        else:
            sections[-1][1].append(line)
    return [section for section in sections if section[0] or any(line.strip() for line in section[1])]


def _plain(lines: list[str]) -> str:
    kept = []
    for line in lines:
        bare = line.strip()
        if bare.startswith("|") or re.fullmatch(r"[-*_]{3,}", bare):
            continue
        is_item = re.match(r"([-*+]|\d+\.)\s+", bare)
        words = markup_free(bare[is_item.end() :] if is_item else bare)
        if not words:
            kept.append("\n")
        else:
            kept.append(("\n• " if is_item else " ") + words)
    text = re.sub(r"\n{2,}", "\n", re.sub(r" *\n *", "\n", "".join(kept))).strip()
    if len(text) <= LONGEST_TEXT:
        return text
    return text[:LONGEST_TEXT].rsplit(" ", 1)[0] + " …"
