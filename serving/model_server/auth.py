"""Bearer tokens: who shows one of them is answered, on REST and gRPC alike."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from pathlib import Path

from applications.errors import ConfigError

_SCHEME = "bearer"
_MIN_CHARS = 16
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


class Tokens:
    """The tokens that may ask."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """Takes the tokens.

        Raises:
            ConfigError: there is none, or one is so short that it can be guessed, or no header can hold it.
        """
        if not tokens:
            raise ConfigError("there is no token: nobody could ask. Write one token per line.")
        short = next((number for number, token in enumerate(tokens, 1) if len(token) < _MIN_CHARS), None)
        if short is not None:
            raise ConfigError(f"a token must have at least {_MIN_CHARS} characters, number {short} has fewer.")
        foreign = next((number for number, token in enumerate(tokens, 1) if not _PRINTABLE.fullmatch(token)), None)
        if foreign is not None:
            raise ConfigError(
                f"a token must be of ASCII letters, digits and signs without spaces, number {foreign} is not, and no "
                "header can hold it. Write another."
            )
        self._tokens = [token.encode() for token in tokens]

    def accept(self, authorization: str | None) -> bool:
        """Says whether a request may pass.

        Args:
            authorization: value of the header, `Bearer` and a token.

        Returns:
            After comparing with all tokens, so that the time taken does not tell how much of one was right.
        """
        scheme, _, token = (authorization or "").partition(" ")
        shown = token.strip().encode("utf-8", "replace")
        matches = [hmac.compare_digest(shown, known) for known in self._tokens]
        return scheme.lower() == _SCHEME and any(matches)


def read_tokens(path: str | Path) -> Tokens:
    """Reads a file with one token per line; empty lines and lines that begin with # are left out.

    Raises:
        ConfigError: the file cannot be read or holds no good token.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--bearer_tokens_file must name a text file that can be read, got {path} ({error})."
        ) from error
    tokens = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    try:
        return Tokens(tokens)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
