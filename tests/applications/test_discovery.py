"""Applications are found by their folders."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

import applications
from applications import discovery
from applications.errors import ConfigError, UnknownName

GOOD = """
from applications.spec import Application
APPLICATION = Application(name="{name}", title="", summary="", task="classification", modality="image",
                          source="{source}", classes=("a", "b"))
"""


@pytest.fixture
def add_app(tmp_path, monkeypatch):
    """Writes an `app.py` into a folder that counts as part of `applications/`, under a system of its own."""
    system = f"system_{abs(hash(tmp_path)) % 10**9}"
    monkeypatch.setattr(applications, "__path__", [*applications.__path__, str(tmp_path)])

    def add(text: str, app: str = "trial") -> str:
        folder = tmp_path / system / app
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(text)
        return f"{system}/{app}"

    return add


def test_names_are_the_folders_with_a_spec():
    assert "satellite/landcover" in discovery.names()
    assert list(discovery.names()) == sorted(discovery.names())
    for name in discovery.names():
        assert Path(applications.__path__[0], name, "app.py").is_file()


def test_every_application_loads_and_its_source_can_be_made():
    for name in discovery.names():
        application = discovery.load(name)
        assert application.name == name
        assert callable(discovery.source(application).inspect)


def test_a_misspelt_name_gets_the_list_and_a_guess():
    with pytest.raises(
        UnknownName, match=r"no application 'satellite/landcovr'; there are: .*Did you mean 'satellite/landcover'"
    ):
        discovery.load("satellite/landcovr")


def test_a_new_folder_is_found_without_editing_anything(add_app):
    name = add_app("")
    assert name in discovery.names()


def test_a_spec_without_application_is_named(add_app):
    name = add_app("x = 1")
    with pytest.raises(ConfigError, match=rf"applications/{name}/app.py must define APPLICATION .* found NoneType"):
        discovery.load(name)


def test_a_spec_with_another_folders_name_is_refused(add_app):
    name = add_app(GOOD.format(name="satellite/other", source="a.B"))
    with pytest.raises(ConfigError, match=rf"must be its folder, '{name}', got 'satellite/other'"):
        discovery.load(name)


def test_a_spec_that_cannot_be_imported_is_named(add_app):
    name = add_app("import no_such_package_at_all")
    with pytest.raises(ConfigError, match=rf"applications/{name}/app.py: cannot import .*no_such_package_at_all"):
        discovery.load(name)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Plain", "must be a dotted name"),
        ("applications.nowhere.Thing", "cannot import applications.nowhere"),
        ("applications.spec.Nothing", "applications.spec has no class 'Nothing'"),
    ],
)
def test_a_source_that_does_not_exist_is_explained(add_app, source, text):
    application = discovery.load("satellite/landcover")
    object.__setattr__(broken := type(application)(**{**vars(application)}), "source", source)
    with pytest.raises(ConfigError, match=text):
        discovery.source(broken)


def test_listing_is_quick_and_imports_neither_tensorflow_nor_beam():
    code = (
        "import sys; from applications import discovery as d; [d.source(d.load(n)) for n in d.names()]; "
        "print([m for m in ('tensorflow', 'apache_beam', 'tfx', 'PIL') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
    began = time.perf_counter()
    discovery.names()
    assert time.perf_counter() - began < 0.05
