"""The table of the model server's flags in `docs/serving.md`, made from the flags themselves."""

from __future__ import annotations

from collections.abc import Iterator

from serving.model_server.flags import FLAGS, Effect, Flag

BEGIN, END = "<!-- flags: begin -->", "<!-- flags: end -->"
_ORDER = {Effect.HONOURED: 0, Effect.OURS: 1, Effect.NONE: 2, Effect.REFUSED: 3}


def with_flags(page: str) -> str:
    """Returns a page with the table between its two marks renewed.

    Raises:
        ValueError: the page lacks a mark.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"docs/serving.md must hold the lines {BEGIN} and {END}. Put them where the table belongs.")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n" + "\n".join(_rows()) + f"\n{END}{after}"


def _rows() -> Iterator[str]:
    yield "| flag | default | here | what it does, or why not |"
    yield "|---|---|---|---|"
    for flag in sorted(FLAGS.values(), key=lambda flag: _ORDER[flag.effect]):
        yield f"| `--{flag.name}` | {_default(flag)} | {flag.effect.value} | {flag.text.replace('|', chr(92) + '|')} |"


def _default(flag: Flag) -> str:
    if flag.effect in (Effect.NONE, Effect.REFUSED) or flag.default == "":
        return ""
    return f"`{str(flag.default).lower() if flag.kind is bool else flag.default}`"
