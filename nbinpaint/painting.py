"""A mask being painted: acts are done, undone and done again, and each says which part of the mask it changed.

It knows nothing of widgets, so that a script and a pointer paint the same pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .strokes import Act, Change, Drawing, Imported, Stroke, acts_from_json, acts_to_json, draw

__all__ = ["Box", "Painting"]

Box = tuple[int, int, int, int]
Mask = NDArray[np.uint8]

MOST_STEPS = 200
MOST_BYTES = 48 * 2**20


@dataclass(frozen=True)
class _Step:
    """One act, and the bits of the pixels it flipped: what undoes it also does it again."""

    act: Act
    box: Box
    flipped: bytes


class Painting:
    """A picture, the mask on it, and the way there.

    It is not made for several threads at once: whoever shares it locks it.

    Args:
        image: RGB picture that is painted on.
        mask: uint8 (H, W), 255 = repaint, 0 = keep, between them a strength; empty where None.

    Attributes:
        image: The picture.
        mask: uint8 (H, W), read-only; a new array after each change.
    """

    def __init__(self, image: Image.Image, mask: Mask | None = None) -> None:
        self.image = image
        self._start: tuple[Act, ...] = ()
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self.mask: Mask = _frozen(np.zeros((image.height, image.width), np.uint8))
        if mask is not None:
            self._start = (Imported.of(mask),)
            self.mask = _frozen(self._start[0].apply(self.mask, image, (1.0, 1.0)))

    @property
    def acts(self) -> tuple[Act, ...]:
        """What the mask consists of, in order; whatever a clearing or an import has wiped out is left out."""
        acts = [*self._start, *(step.act for step in self._done)]
        fresh = [i for i, act in enumerate(acts) if act.covers_all]
        acts = acts[fresh[-1] if fresh else 0 :]
        head = acts[0] if acts else None
        if isinstance(head, Drawing):
            return (*head.acts, *acts[1:])
        return tuple(acts[1:] if head == Change("clear") else acts)

    @property
    def strengths(self) -> tuple[float, float] | None:
        """The least and the greatest strength that is painted, 0 to 1; None where all of it is full or nothing is."""
        least, most, *_ = cv2.minMaxLoc(self.mask, self.mask)
        return (least / 255, most / 255) if 0 < least < 255 else None

    def do(self, act: Act) -> Box | None:
        """Carry an act out.

        Returns:
            (x0, y0, x1, y1) around the pixels that changed, the ends exclusive; None where none did, and then the
            act is not kept.
        """
        before = self.mask
        after = act.apply(before, self.image, (1.0, 1.0))
        window = _clip(act.bounds(), before.shape) if isinstance(act, Stroke) else None
        box = _difference(before, after, window)
        if box is not None:
            flipped = before[_slices(box)] ^ after[_slices(box)]
            self._done.append(_Step(act, box, zlib.compress(flipped.tobytes(), 1)))
            self._undone.clear()
            self._forget()
            self.mask = _frozen(after)
        return box

    def undo(self) -> Box | None:
        """Take the last act back; returns what changed, None where there is nothing to take back."""
        return self._move(self._done, self._undone)

    def redo(self) -> Box | None:
        """Do again what was taken back last; returns what changed, None where there is nothing."""
        return self._move(self._undone, self._done)

    @property
    def can_undo(self) -> bool:
        """Whether there is an act to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an act to do again."""
        return bool(self._undone)

    def _move(self, source: list[_Step], target: list[_Step]) -> Box | None:
        if not source:
            return None
        step = source.pop()
        target.append(step)
        where = _slices(step.box)
        after = self.mask.copy()
        flipped = np.frombuffer(zlib.decompress(step.flipped), np.uint8)
        after[where] ^= flipped.reshape(after[where].shape)
        self.mask = _frozen(after)
        return step.box

    def _forget(self) -> None:
        """Keep memory bounded: the oldest steps can no longer be undone, what they painted stays."""
        while len(self._done) > MOST_STEPS or sum(len(s.flipped) for s in self._done) > MOST_BYTES:
            self._start = (*self._start, self._done.pop(0).act)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the acts as plain JSON values."""
        return acts_to_json(self.acts)

    def replace(self, values: Iterable[Mapping[str, Any]]) -> Box | None:
        """Replace the mask by acts from `to_json`, as one step that can be undone.

        Raises:
            InvalidMask: An act is unknown or holds a value that is not allowed.
        """
        return self.do(Drawing(acts_from_json(values)))

    def draw(self, size: tuple[int, int]) -> Mask:
        """Draw the mask anew at another size, from its acts: uint8 (height, width)."""
        return draw(self.acts, self.image, size)


def _frozen(mask: Mask) -> Mask:
    mask.flags.writeable = False
    return mask


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(box[1], box[3]), slice(box[0], box[2])


def _clip(bounds: tuple[float, float, float, float], shape: tuple[int, ...]) -> Box:
    x0, y0, x1, y1 = bounds
    height, width = shape
    left, top = min(max(0, int(x0) - 1), width), min(max(0, int(y0) - 1), height)
    return left, top, max(left, min(width, int(x1) + 2)), max(top, min(height, int(y1) + 2))


def _difference(before: Mask, after: Mask, window: Box | None) -> Box | None:
    """The box around all pixels that differ, looked for inside the window."""
    left, top, right, bottom = window or (0, 0, before.shape[1], before.shape[0])
    if left >= right or top >= bottom:
        return None
    where = _slices((left, top, right, bottom))
    x, y, width, height = cv2.boundingRect(before[where] ^ after[where])
    return (left + x, top + y, left + x + width, top + y + height) if width else None
