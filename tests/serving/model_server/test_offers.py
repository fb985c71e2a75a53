"""Every row of the tables in `docs/serving.md`, and every flag, has tests that show it, as `offers.py` lists them."""

from __future__ import annotations

import ast
import pathlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from serving.model_server import flags
from serving.model_server.flags import Effect
from tests.serving.model_server import offers

HEADING = "## What TensorFlow Serving offers, and what the embedded server does with it"


def rows(page: str) -> list[tuple[str, ...]]:
    """What TensorFlow Serving offers, and what is here: the cells of every table below the heading."""
    _, _, below = page.partition(f"\n{HEADING}\n")
    lines = re.split(r"^## ", below, maxsplit=1, flags=re.MULTILINE)[0].splitlines()
    found = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines if line.startswith("|")]
    return [cells for cells in found if cells != ("TensorFlow Serving", "here") and set(cells[0]) - set("-|")]


def found_below(folder: pathlib.Path) -> Mapping[str, bool]:
    """Tests below a folder, and whether `make test` runs each: whether neither it nor its file is marked as slow."""
    found: dict[str, bool] = {}
    for path in folder.rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        is_slow = any("pytest.mark.slow" in ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                runs = not is_slow and "pytest.mark.slow" not in map(ast.unparse, node.decorator_list)
                found[node.name] = runs or found.get(node.name, False)
    return found


def problems(told: Sequence[str], tests: Mapping[str, Sequence[str]], known: Mapping[str, bool]) -> list[str]:
    """What does not fit between rows, the tests that they are said to have, and those that there are."""
    wrong = [f"the row {row!r} is there {count} times" for row, count in Counter(told).items() if count > 1]
    wrong += [f"the row {row!r} has no test" for row in told if not tests.get(row)]
    wrong += [f"there is no row {row!r}" for row in tests if row not in told]
    for row, named in tests.items():
        wrong += [f"there is no {test}, which shows the row {row!r}" for test in named if test not in known]
        if named and not any(known.get(test, True) for test in named):
            wrong.append(f"`make test` runs no test of the row {row!r}")
    return wrong


@pytest.fixture(scope="module")
def known(project):
    return found_below(project / "tests" / "serving")


def test_every_row_has_tests_and_they_exist(project, known):
    found = rows((project / "docs" / "serving.md").read_text(encoding="utf-8"))
    assert len(found) > 50
    assert all(len(cells) == 2 and all(cells) for cells in found)
    assert problems([offer for offer, *_ in found], offers.OFFERS, known) == []


def test_every_flag_with_an_effect_has_tests_and_they_exist(known):
    told = [name for name, flag in flags.FLAGS.items() if flag.effect in {Effect.HONOURED, Effect.OURS}]
    assert problems(told, offers.FLAGS, known) == []


PAGE = f"""
{HEADING}

### Some

| TensorFlow Serving | here |
|---|---|
| one | the same |
| two | not |

## Flags

| `--flag` | no row |
"""


def test_rows_are_read_from_all_tables_below_the_heading():
    assert rows(PAGE) == [("one", "the same"), ("two", "not")]


@pytest.mark.parametrize(
    ("tests", "wrong"),
    [
        ({"one": ["test_a"], "two": ["test_b", "test_a"]}, []),
        ({"one": ["test_a"]}, ["the row 'two' has no test"]),
        ({"one": ["test_a"], "two": []}, ["the row 'two' has no test"]),
        ({"one": ["test_a"], "two": ["test_a"], "three": ["test_a"]}, ["there is no row 'three'"]),
        ({"one": ["test_gone"], "two": ["test_a"]}, ["there is no test_gone, which shows the row 'one'"]),
        (
            {"one": ["test_b"], "two": ["test_c", "test_b"]},
            ["`make test` runs no test of the row 'one'", "`make test` runs no test of the row 'two'"],
        ),
    ],
)
def test_what_does_not_fit_is_told(tests, wrong):
    assert problems(["one", "two"], tests, {"test_a": True, "test_b": False, "test_c": False}) == wrong


def test_a_row_that_is_told_twice_is_noticed():
    assert problems(["one", "one"], {"one": ["test_a"]}, {"test_a": True}) == ["the row 'one' is there 2 times"]


def test_slow_tests_and_tests_of_slow_files_are_known_as_such(tmp_path):
    slow = "@pytest.mark.slow\ndef test_b():\n    pass\n"
    (tmp_path / "test_one.py").write_text(f"def test_a():\n    pass\n{slow}def helper():\n    pass\n", encoding="utf-8")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "test_two.py").write_text(
        "pytestmark = pytest.mark.slow\ndef test_c():\n    pass\n", encoding="utf-8"
    )
    assert found_below(tmp_path) == {"test_a": True, "test_b": False, "test_c": False}
