"""Prompt tools: an axis over a part of the prompt, and headers that say what differs instead of repeating the rest.

A tool says what is done to the base recipe's prompt; a sweep resolves it to an axis of whole prompts.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .errors import InvalidParams

__all__ = ["PROMPT_AXES", "PromptOrder", "PromptTool", "SearchReplace", "differing", "in_common", "split_list"]

MOST_PARTS = 6
"""Parts that `PromptOrder` takes at most: their orders are 720."""
PLAIN = 24
"""Letters up to which prompts are shown whole in headers."""
GAP = "…"


@runtime_checkable
class PromptTool(Protocol):
    """Makes an axis from one prompt."""

    def prompts(self, prompt: str, field: str) -> tuple[str, ...]:
        """Return the axis's prompts.

        Args:
            prompt: The base recipe's prompt.
            field: The parameter that holds it, for messages.

        Raises:
            InvalidParams: The prompt does not hold what the tool works on.
        """
        ...


@dataclass(frozen=True, init=False)
class SearchReplace:
    """The same prompt with one text in it replaced by others.

    Args:
        *texts: The text that stands in the base recipe's prompt, then those that take its place, wherever it occurs.
            The prompt as it stands is the axis's first value.

    Example:
        >>> SearchReplace("apple", "pear", "plum").prompts("a red apple")
        ('a red apple', 'a red pear', 'a red plum')

    Raises:
        InvalidParams: No text, one that is none, the same one twice, or an empty one to look for.
    """

    texts: tuple[str, ...]

    def __init__(self, *texts: str) -> None:
        object.__setattr__(self, "texts", _checked("SearchReplace", texts))
        if not texts[0]:
            raise InvalidParams(f"SearchReplace{texts!r} looks for no text; allowed: a text that stands in the prompt")

    @classmethod
    def parse(cls, text: str) -> SearchReplace:
        """Read a comma list, as AUTOMATIC1111's "Prompt S/R" has it: `apple, pear, "red, round plum"`."""
        return cls(*split_list(text))

    def prompts(self, prompt: str, field: str = "prompt") -> tuple[str, ...]:
        """Return `prompt`, then `prompt` with each other text in place of the first.

        Raises:
            InvalidParams: The first text does not stand in the prompt.
        """
        searched = self.texts[0]
        if searched not in prompt:
            raise InvalidParams(f"{field}={prompt!r} does not hold {searched!r}; allowed: a text that stands in it")
        return tuple(prompt.replace(searched, text) for text in self.texts)


@dataclass(frozen=True, init=False)
class PromptOrder:
    """The same prompt with parts of it in every order.

    Args:
        *parts: Texts that stand in the base recipe's prompt; they change places, what stands between them stays.

    Example:
        >>> PromptOrder("red", "shiny").prompts("a red, shiny apple")
        ('a red, shiny apple', 'a shiny, red apple')

    Raises:
        InvalidParams: Fewer than two parts or too many, one that is no text or empty, or the same one twice.
    """

    parts: tuple[str, ...]

    def __init__(self, *parts: str) -> None:
        object.__setattr__(self, "parts", _checked("PromptOrder", parts))
        if not 2 <= len(parts) <= MOST_PARTS or "" in parts:
            raise InvalidParams(
                f"PromptOrder{parts!r} cannot be ordered; allowed: 2 to {MOST_PARTS} parts of the prompt"
            )

    @classmethod
    def parse(cls, text: str) -> PromptOrder:
        """Read a comma list, as AUTOMATIC1111's "Prompt order" has it: `red, shiny, round`."""
        return cls(*split_list(text))

    def prompts(self, prompt: str, field: str = "prompt") -> tuple[str, ...]:
        """Return the prompt with its parts in every order, its own first.

        Raises:
            InvalidParams: A part does not stand in the prompt, or only within another.
        """
        places = self._places(prompt, field)
        own = sorted(places, key=places.__getitem__)
        between, at = [], 0
        for part in own:
            between.append(prompt[at : places[part]])
            at = places[part] + len(part)
        orders = itertools.permutations(own)
        return tuple(
            "".join(itertools.chain.from_iterable(zip(between, order, strict=True))) + prompt[at:] for order in orders
        )

    def _places(self, prompt: str, field: str) -> dict[str, int]:
        """Where each part begins; the longest are found first, so that "red" is not found within "red apple"."""
        left, places = prompt, {}
        for part in sorted(self.parts, key=len, reverse=True):
            place = left.find(part)
            if place < 0:
                raise InvalidParams(f"{field}={prompt!r} does not hold {part!r} by itself; allowed: parts of it")
            places[part] = place
            left = left[:place] + "\0" * len(part) + left[place + len(part) :]
        return places


PROMPT_AXES: Mapping[str, tuple[str, Callable[[str], PromptTool]]] = {
    "prompt_replace": ("prompt", SearchReplace.parse),
    "prompt_order": ("prompt", PromptOrder.parse),
    "negative_prompt_replace": ("negative_prompt", SearchReplace.parse),
}
"""Axis names that stand for a tool: the parameter that they run over, and how their text is read."""


def split_list(text: str) -> list[str]:
    """Split a comma list; quotes protect commas, and lines separate as commas do."""
    rows = csv.reader(io.StringIO(text, newline=None), skipinitialspace=True)
    return [item.strip() for row in rows for item in row]


def _checked(name: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts or not all(isinstance(text, str) for text in texts) or len(set(texts)) < len(texts):
        raise InvalidParams(f"{name}{texts!r} is not possible; allowed: texts, each once")
    return texts


# --- headers ---


def differing(prompts: Sequence[str]) -> tuple[str, ...]:
    """Return for each prompt what sets it apart from the others; short ones as they stand.

    Example:
        >>> differing(["a red apple on the grass", "a blue apple on the grass"])
        ('red', 'blue')
    """
    if len(prompts) < 2 or max(map(len, prompts)) <= PLAIN:
        return tuple(prompt or "nothing" for prompt in prompts)
    words = [prompt.split() for prompt in prompts]
    runs = _runs(words)
    shown = []
    for own, spans in zip(words, runs, strict=True):
        texts = dict.fromkeys(" ".join(own[start:stop]).strip(",;.") for start, stop in spans)
        shown.append(f" {GAP} ".join(filter(None, texts)) or "nothing")
    return tuple(shown) if len(set(shown)) == len(shown) else tuple(prompts)


def in_common(prompts: Sequence[str]) -> str:
    """Return what all prompts share, with a gap where they differ: `a … apple on the grass`; empty for nothing."""
    words = [prompt.split() for prompt in prompts]
    parts, at = [], 0
    for start, stop in _runs(words)[0]:
        parts += [*words[0][at:start], GAP]
        at = stop
    parts += words[0][at:]
    return " ".join(parts) if set(parts) != {GAP} else ""


def _runs(words: Sequence[Sequence[str]]) -> list[list[tuple[int, int]]]:
    """For each list of words, the (start, stop) of the runs in which it is not as all others."""
    if len({len(w) for w in words}) == 1:
        differ = [len(set(column)) > 1 for column in zip(*words, strict=True)]
        groups = itertools.groupby(range(len(differ)), key=differ.__getitem__)
        spans = [tuple(group) for differs, group in groups if differs]
        return [[(span[0], span[-1] + 1) for span in spans]] * len(words)
    head = _shared(words)
    tail = min(_shared([w[::-1] for w in words]), min(map(len, words)) - head)
    return [[(head, len(w) - tail)] for w in words]


def _shared(words: Sequence[Sequence[str]]) -> int:
    """How many words all lists begin with."""
    return sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False)))
