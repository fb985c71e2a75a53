from __future__ import annotations

import re

from applications import discovery
from pipeline import reference
from pipeline.cli.main import COMMANDS


def test_the_pages_are_as_the_code_says(project):
    differing = [
        path for path, text in reference.pages().items() if (project / path).read_text(encoding="utf-8") != text
    ]
    assert not differing, "run `python -m pipeline.reference`"


def test_every_command_and_application_is_in_the_pages(project):
    commands = (project / "docs/commands.md").read_text(encoding="utf-8")
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"## earthloop {name}\n" not in commands] == []
    assert [name for name in discovery.names() if f"| `{name}` |" not in readme] == []


def test_scores_typed_into_the_readme_survive():
    readme = f"a\n{reference.TABLE_BEGIN}\n{reference.TABLE_END}\nb\n"
    made = reference.with_table(readme)
    typed = made.replace("not measured yet", "0.91 (0.90 to 0.92)").replace("see its data card", "MIT")
    assert reference.with_table(typed) == typed


def test_every_link_and_path_of_the_readme_exists(project):
    readme = (project / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", readme)
    folders = re.findall(r"^([a-z]+/) ", readme, flags=re.MULTILINE)
    assert [path for path in [*links, *folders] if not (project / path).exists()] == []
    assert len(folders) >= 8
