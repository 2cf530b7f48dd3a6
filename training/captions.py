"""Words a person might use for a scene: many phrasings of the same facts, drawn anew each time it is seen."""

from __future__ import annotations

import numpy as np

from training.domain import (
    ADJECTIVES,
    BACKGROUNDS,
    COLOURS,
    ENDINGS,
    NOUNS,
    OPENINGS,
    REMOVALS,
    SHAPES,
    SYNONYMS,
    article,
    plural,
)
from training.scenes import Facts

_SYNONYMS: dict[str, list[str]] = {}
for _word, _meaning in SYNONYMS.items():
    _SYNONYMS.setdefault(_meaning, []).append(_word)

_SYLLABLES = ("ka", "zu", "mor", "ti", "fle", "bra", "no", "gli", "sta", "ven", "qui", "dro", "pa", "lum", "er")


def _pick(rng: np.random.Generator, items) -> str:
    return items[int(rng.integers(len(items)))]


def _say(rng: np.random.Generator, word: str, chance: float) -> str:
    others = _SYNONYMS.get(word)
    return _pick(rng, others) if others and rng.random() < chance else word


def _unknown(rng: np.random.Generator) -> str:
    return "".join(_pick(rng, _SYLLABLES) for _ in range(int(rng.integers(1, 3))))


def background_words(facts: Facts, rng: np.random.Generator, place: bool) -> str:
    """What the backdrop is called, or where on it a thing is."""
    background = BACKGROUNDS[facts.background]
    phrase = _pick(rng, background.places if place else background.names)
    return phrase.format(a=facts.a, b=facts.b)


def plain(facts: Facts) -> str:
    """The shortest full caption: `"a red apple"`; empty where nothing is in the mask."""
    phrase = f"{facts.colour} {facts.name}".strip()
    return f"{article(phrase)} {phrase}" if phrase else ""


def _removal(facts: Facts, rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.35:
        return background_words(facts, rng, place=False)
    if kind < 0.85:
        return _pick(rng, REMOVALS)
    return f"{_pick(rng, REMOVALS)}, {background_words(facts, rng, place=False)}"


def _subject(facts: Facts, rng: np.random.Generator) -> str:
    name, colour = _say(rng, facts.name, 0.15), _say(rng, facts.colour, 0.12)
    if colour and rng.random() < 0.04:
        colour = ""
    kind = rng.random()
    if kind < 0.05:
        return f"{colour} {plural(facts.name)}".strip()
    if colour and kind < 0.10:
        return f"{article(name)} {name} that is {colour}"
    if colour and kind < 0.15:
        return f"{name} {colour}"
    if colour and kind < 0.18:
        return f"{article(name)} {colour} colored {name}"
    phrase = f"{colour} {name}".strip()
    extra = rng.random()
    if extra < 0.12:
        phrase = f"{_pick(rng, ADJECTIVES)} {phrase}"
    elif extra < 0.17:
        phrase = f"{_unknown(rng)} {phrase}"
    start = rng.random()
    if start < 0.3:
        return phrase
    return f"the {phrase}" if start > 0.93 else f"{article(phrase)} {phrase}"


def caption(facts: Facts, rng: np.random.Generator) -> str:
    """One phrasing of `facts`."""
    if not facts.name:
        return _removal(facts, rng)
    text = _subject(facts, rng)
    if rng.random() < 0.18:
        text = f"{_pick(rng, OPENINGS)} {text}"
    if rng.random() < 0.3:
        place = background_words(facts, rng, place=True)
        form = rng.random()
        if form < 0.6:
            text = f"{text} {place}"
        elif form < 0.8:
            text = f"{place}, {text}"
        else:
            text = f"{text}, {background_words(facts, rng, place=False)}"
    tail = rng.random()
    if tail < 0.06:
        text = f"{text}, {_pick(rng, ENDINGS)}"
    elif tail < 0.09:
        text = f"{text} {_unknown(rng)}"
    elif tail < 0.14:
        text += "."
    return text.capitalize() if rng.random() < 0.06 else text


def label(facts: Facts) -> tuple[int, int]:
    """The judge's answer for a scene: class (0 is "nothing") and colour (-100 where there is none to tell)."""
    if not facts.name:
        return 0, -100
    return classes().index(facts.name), list(COLOURS).index(facts.colour) if facts.colour else -100


def classes() -> list[str]:
    """What the judge can see in a mask."""
    return ["nothing", *SHAPES, *NOUNS]
