from __future__ import annotations

import pytest

from applications.errors import ConfigError
from serving.model_server.auth import Tokens, read_tokens

GOOD, OTHER = "a-token-of-the-first-client", "a-token-of-another-client"


@pytest.mark.parametrize(
    ("shown", "passes"),
    [
        (f"Bearer {GOOD}", True),
        (f"bearer  {OTHER} ", True),
        (f"Bearer {GOOD}x", False),
        (f"Bearer {GOOD[:-1]}", False),
        (f"Basic {GOOD}", False),
        (GOOD, False),
        ("Bearer ", False),
        ("Bearer \udcff", False),
        ("", False),
        (None, False),
    ],
)
def test_only_a_whole_token_behind_the_scheme_passes(shown, passes):
    assert Tokens([OTHER, GOOD]).accept(shown) is passes


def test_a_file_has_one_token_per_line_and_comments(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# clients\n\n  {GOOD}  \n{OTHER}\n", encoding="utf-8")
    tokens = read_tokens(path)
    assert tokens.accept(f"Bearer {GOOD}")
    assert tokens.accept(f"Bearer {OTHER}")
    assert not tokens.accept("Bearer # clients")


def test_a_short_token_is_refused_without_telling_it(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"{GOOD}\nsecret\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="at least 16 characters, number 2 has fewer") as error:
        read_tokens(path)
    assert "secret" not in str(error.value)


def test_an_empty_or_missing_file_is_refused(tmp_path):
    empty = tmp_path / "tokens"
    empty.write_text("# nobody yet\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="there is no token"):
        read_tokens(empty)
    with pytest.raises(ConfigError, match="--bearer_tokens_file must name a text file"):
        read_tokens(tmp_path / "none")


def test_a_token_that_no_header_can_hold_is_refused(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"{GOOD}\n{OTHER}ü\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="letters, digits and signs without spaces, number 2 is not"):
        read_tokens(path)
