"""Builds a byte-level BPE tokenizer in CLIP's format, in which every word of the domain is one token."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from training.domain import words

LENGTH = 24
START, END = "<|startoftext|>", "<|endoftext|>"


def alphabet() -> list[str]:
    """The 256 printable stand-ins for bytes that CLIP and GPT-2 use, bytes that print as themselves first."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    missing = sum(byte not in own for byte in range(256))
    return [chr(byte) for byte in own] + [chr(256 + n) for n in range(missing)]


def _joined(pieces: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    out: list[str] = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return tuple(out)


def merges(vocabulary: list[str]) -> list[tuple[str, str]]:
    """Byte pairs to join, most frequent first, until each word is whole."""
    split = [(*word[:-1], word[-1] + "</w>") for word in vocabulary]
    found = []
    while counts := Counter(pair for word in split for pair in pairwise(word)):
        best = max(counts, key=lambda pair: (counts[pair], pair))
        found.append(best)
        split = [_joined(word, best) for word in split]
    return found


def build(folder: Path) -> CLIPTokenizer:
    """Writes `vocab.json` and `merges.txt` into `folder` and returns the tokenizer made of them."""
    folder.mkdir(parents=True, exist_ok=True)
    letters, pairs = alphabet(), merges([w for w in words() if len(w) > 1])
    tokens = dict.fromkeys([*letters, *(c + "</w>" for c in letters), *("".join(p) for p in pairs), START, END])
    vocab = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in pairs))
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LENGTH)
