"""In which language a page speaks: the browser's, of those that there are."""

import json
from functools import cache
from pathlib import Path

STATIC = Path(__file__).with_name("static")
LANGUAGES = ("en", "zh-CN")
"""Each has a catalogue in static/words/; the first is for whoever speaks none of them."""


def language_of(accepted: str) -> str:
    """By the header Accept-Language: `zh-TW,zh;q=0.9,en;q=0.8`."""
    wishes = [_wish(part) for part in accepted.split(",")]
    for _, tongue in sorted(wishes, key=lambda wish: -wish[0]):
        for language in LANGUAGES:
            if tongue == language.partition("-")[0]:
                return language
    return LANGUAGES[0]


@cache
def words(language: str) -> dict[str, str]:
    """Key -> what is said."""
    text = (STATIC / "words" / f"{language}.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def _wish(part: str) -> tuple[float, str]:
    """How much a language is wanted, and which it is, without its country."""
    name, *parameters = (word.strip() for word in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                weight = float(parameter[2:])
            except ValueError:
                weight = 0.0
    return weight, name.partition("-")[0].lower() if weight else ""
