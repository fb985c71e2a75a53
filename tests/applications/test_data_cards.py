"""Every application says where its data comes from and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import applications
from applications import discovery

HEADINGS = ("Origin", "Licence", "Citation", "Checksum", "Layout and units", "How splits are made", "Known gaps")


@pytest.mark.parametrize("name", discovery.names())
def test_a_data_card_has_its_headings_and_a_runnable_line(name):
    card = Path(applications.__path__[0], name, "README.md").read_text(encoding="utf-8")
    missing = [heading for heading in HEADINGS if f"\n## {heading}\n" not in card]
    assert missing == []
    assert f"earthloop run {name}" in card
