"""The words that a small model was trained on, and a gentle word about those that it was not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Vocabulary"]

_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Vocabulary:
    """What a model knows by name.

    Attributes:
        colours: Colours.
        shapes: Shapes.
        nouns: Things.
        backgrounds: Backgrounds.
        words: Every word of its training captions, these and their synonyms among them.
    """

    colours: tuple[str, ...]
    shapes: tuple[str, ...]
    nouns: tuple[str, ...]
    backgrounds: tuple[str, ...]
    words: frozenset[str]

    @classmethod
    def read(cls, file: Path) -> Vocabulary | None:
        """Read a model folder's vocabulary.json; None where there is none."""
        try:
            values = json.loads(file.read_text("utf-8"))
        except OSError:
            return None
        lists = {name: tuple(values[name]) for name in ("colours", "shapes", "nouns", "backgrounds")}
        return cls(**lists, words=frozenset(values["words"]))

    def unknown(self, prompt: str) -> tuple[str, ...]:
        """Return the prompt's words that the model has never seen, in their order."""
        words = dict.fromkeys(_WORD.findall(prompt.casefold()))
        return tuple(word for word in words if word not in self.words)

    def hint(self, prompt: str) -> str | None:
        """Return a sentence about the words that are unknown, None where all are known."""
        unknown = self.unknown(prompt)
        if not unknown:
            return None
        named = ", ".join(f"“{word}”" for word in unknown)
        return (
            f"This small model has never seen {named}. It knows {len(self.colours)} colours, "
            f"{len(self.shapes)} shapes such as {' and '.join(self.shapes[:2])}, and {len(self.nouns)} things such as "
            f"{', '.join(self.nouns[:3])}."
        )
