from __future__ import annotations

import pytest

from applications.errors import UnknownName
from pipeline import source_hash


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(source_hash, "ROOT", tmp_path)
    files = {
        "trainer/__init__.py": "",
        "trainer/fit.py": "from trainer import models\ndef fit():\n    from schemas.keys import LABEL\n",
        "trainer/models.py": "DEPTH = 3\n",
        "trainer/unrelated.py": "X = 1\n",
        "schemas/__init__.py": "",
        "schemas/keys.py": "LABEL = 'label'\n",
        "requirements/pipeline.lock": "numpy==2.0\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    source_hash._imports.cache_clear()
    yield tmp_path
    source_hash._imports.cache_clear()


def test_closure_follows_imports_of_modules_and_inside_functions(project):
    assert source_hash.closure(["trainer.fit"]) == [
        "schemas",
        "schemas.keys",
        "trainer",
        "trainer.fit",
        "trainer.models",
    ]


@pytest.mark.parametrize(
    "edited", ["trainer/fit.py", "trainer/models.py", "schemas/keys.py", "requirements/pipeline.lock"]
)
def test_digest_changes_with_any_file_of_the_closure(project, edited):
    before = source_hash.digest_of("trainer.fit")
    with (project / edited).open("a") as file:
        file.write("# edited\n")
    assert source_hash.digest_of("trainer.fit") != before


def test_closure_follows_dotted_names_in_strings(project):
    (project / "trainer/fit.py").write_text(
        "NAMES = {'deep': 'trainer.models.DEPTH', 'none': 'serving.x', 'a': 'b.'}\n"
    )
    assert source_hash.closure(["trainer.fit"]) == ["trainer", "trainer.fit", "trainer.models"]


def test_digest_does_not_change_with_other_files(project):
    before = source_hash.digest_of("trainer.fit")
    (project / "trainer/unrelated.py").write_text("X = 2\n")
    assert source_hash.digest_of("trainer.fit") == before


def test_further_files_are_part_of_the_digest(project):
    (project / "page.j2").write_text("a")
    before = source_hash.digest_of("trainer.fit", files=["page.j2"])
    (project / "page.j2").write_text("b")
    assert source_hash.digest_of("trainer.fit", files=["page.j2"]) != before


def test_a_module_that_is_not_ours_is_refused():
    with pytest.raises(UnknownName, match="no module of this project 'numpy'"):
        source_hash.digest_of("numpy")


def test_tree_digest_sees_every_python_file(project):
    before = source_hash.tree_digest()
    (project / "trainer/unrelated.py").write_text("X = 2\n")
    assert source_hash.tree_digest() != before


def test_tree_digest_sees_a_data_card(project):
    before = source_hash.tree_digest()
    (project / "schemas/README.md").write_text("# Card")
    assert source_hash.tree_digest() != before


def test_a_named_file_is_digested_by_its_content_wherever_it_lies(tmp_path):
    for folder, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "start.weights.h5").write_bytes(content)
    first, same, other = (source_hash.file_digest(str(tmp_path / folder / "start.weights.h5")) for folder in "abc")
    assert first == same != other
    assert source_hash.file_digest("") == source_hash.file_digest(str(tmp_path / "none")) == ""


def test_relative_imports_are_followed(project):
    (project / "trainer/fit.py").write_text("from . import models\nfrom .unrelated import X\n")
    assert source_hash.closure(["trainer.fit"]) == ["trainer", "trainer.fit", "trainer.models", "trainer.unrelated"]
