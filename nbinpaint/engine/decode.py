"""From latents to pictures: the VAE's decoder, a check for numbers that are none, and the model's safety checker.

Grid cells that come to their end wait a moment for each other, so that one call decodes several; on CUDA that call runs
beside the denoising of those that go on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from PIL import Image

from .families import decoding_vae, unscaled
from .models import Model

__all__ = ["WITHHELD", "Decoded", "Decoder", "decode", "pixels"]

WITHHELD = (128, 128, 128)
"""The colour of a picture that the safety checker withholds."""
_HOLD = {"cuda": 0.5}
"""Seconds that a finished grid cell may wait for others to be decoded with; a CPU would gain nothing by it."""
_TOGETHER = {"cuda": 8 * 512 * 512}
"""Pixels decoded in one call at most; memory grows with them, and a CPU gains nothing past a few small pictures."""
_TOGETHER_ELSEWHERE = 512 * 512

Key = TypeVar("Key")


class Decoded(NamedTuple):
    """One decoded picture.

    Attributes:
        image: RGB; a plain `WITHHELD` where flagged.
        flagged: Whether the model's safety checker withholds it.
        problem: What was not a finite number; empty where all is well.
    """

    image: Image.Image
    flagged: bool
    problem: str = ""


@torch.inference_mode()
def pixels(model: Model, latents: torch.Tensor) -> torch.Tensor:
    """Decode latents (n, channels, h, w) to values (n, 3, H, W) around [-1, 1], unclipped."""
    vae = decoding_vae(model)
    decoded: torch.Tensor = vae.decode(unscaled(model, latents.to(vae.dtype)), return_dict=False)[0]
    return decoded


@torch.inference_mode()
def decode(model: Model, latents: Sequence[torch.Tensor]) -> list[Decoded]:
    """Decode several latents (1, channels, h, w) of one size together, and wait for the pictures.

    Raises:
        torch.OutOfMemoryError: Not even one at a time fits.
    """
    together = torch.cat(list(latents))
    finite = torch.isfinite(together).flatten(1).all(1)
    try:
        values = pixels(model, torch.where(finite[:, None, None, None], together, 0))
    except torch.OutOfMemoryError:
        if len(latents) == 1:
            raise
        torch.cuda.empty_cache()
        return [picture for one in latents for picture in decode(model, [one])]
    if getattr(model.pipeline, "watermark", None) is not None:
        values = model.pipeline.watermark.apply_watermark(values)
    sound = torch.isfinite(values).flatten(1).all(1)
    levels = ((values / 2 + 0.5).clamp(0, 1).float() * 255).round().nan_to_num().to(torch.uint8).permute(0, 2, 3, 1)
    moved = _to_cpu(levels.contiguous(), finite, sound)
    flags: Sequence[Any] = [False] * len(latents)
    if getattr(model.pipeline, "safety_checker", None) is not None:
        flags = model.pipeline.run_safety_checker(values.nan_to_num(), model.device, model.dtype)[1] or flags
    return [
        _picture(Image.fromarray(level.numpy()), bool(flag), bool(of_latents), bool(of_values))
        for level, of_latents, of_values, flag in zip(*moved, flags, strict=True)
    ]


def _picture(image: Image.Image, flagged: bool, finite: bool, sound: bool) -> Decoded:
    problem = ""
    if not finite:
        problem = "the latents are not finite: the sampler left the range of its number format"
    elif not sound:
        problem = "the picture is not finite: the VAE left the range of its number format; allowed: a wider dtype"
    return Decoded(Image.new("RGB", image.size, WITHHELD) if flagged else image, flagged, problem)


def _to_cpu(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Copy without holding up other streams, and wait for the end of it."""
    if tensors[0].device.type != "cuda":
        return [tensor.cpu() for tensor in tensors]
    moved = [torch.empty(t.shape, dtype=t.dtype, pin_memory=True).copy_(t, non_blocking=True) for t in tensors]
    torch.cuda.current_stream(tensors[0].device).record_event().synchronize()
    return moved


class Decoder(Generic[Key]):
    """Collects finished latents and hands their pictures out.

    Args:
        model: The model.
        hold: Seconds that a finished one may wait for others; the first of a run does not wait. What suits the device
            where None.
        clock: Seconds of a clock that does not go back.
    """

    def __init__(self, model: Model, hold: float | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self._model = model
        self._hold = _HOLD.get(model.device.type, 0.0) if hold is None else hold
        self._clock = clock
        self._held: list[tuple[Key, torch.Tensor]] = []
        self._since = 0.0
        self._any = False
        self._running: deque[tuple[list[Key], Future[tuple[list[Decoded], float]]]] = deque()
        self._aside = torch.cuda.Stream(model.device) if model.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._worker = ThreadPoolExecutor(1, "nbinpaint-decode") if self._aside is not None else None

    def add(self, key: Key, latents: torch.Tensor) -> None:
        """Take the latents (1, channels, h, w) of one that has ended; all must have one size."""
        if not self._held:
            self._since = self._clock()
        self._held.append((key, latents))

    def pictures(self, last: bool = False) -> Iterator[tuple[Key, Decoded | Exception, float]]:
        """Yield the pictures that are there, each with its share of the seconds it took, or why there is none.

        Args:
            last: Nothing else runs: decode what is held, and wait for all of it.
        """
        while self._held and (last or self._due()):
            first, self._held = self._held[: self._most], self._held[self._most :]
            self._any = True
            self._running.append(([key for key, _ in first], self._start([latents for _, latents in first])))
        while self._running and (last or self._running[0][1].done()):
            keys, future = self._running.popleft()
            try:
                decoded, seconds = future.result()
            except Exception as error:
                yield from ((key, error, 0.0) for key in keys)
            else:
                yield from ((key, one, seconds / len(keys)) for key, one in zip(keys, decoded, strict=True))

    def close(self) -> None:
        """Drop what is held and let the worker go."""
        self._held.clear()
        if self._worker is not None:
            self._worker.shutdown(wait=True, cancel_futures=True)

    @property
    def _most(self) -> int:
        height, width = (side * self._model.factor for side in self._held[0][1].shape[-2:])
        return max(1, _TOGETHER.get(self._model.device.type, _TOGETHER_ELSEWHERE) // (height * width))

    def _due(self) -> bool:
        return not self._any or len(self._held) >= self._most or self._clock() - self._since >= self._hold

    def _start(self, latents: list[torch.Tensor]) -> Future[tuple[list[Decoded], float]]:
        if self._worker is None:
            future: Future[tuple[list[Decoded], float]] = Future()
            try:
                future.set_result(self._decode(latents, None))
            except Exception as error:
                future.set_exception(error)
            return future
        ready = torch.cuda.current_stream(self._model.device).record_event()
        return self._worker.submit(partial(self._decode, latents, ready))

    def _decode(self, latents: list[torch.Tensor], ready: torch.cuda.Event | None) -> tuple[list[Decoded], float]:
        if ready is None:
            begun = time.perf_counter()
            return decode(self._model, latents), time.perf_counter() - begun
        with torch.cuda.stream(self._aside):
            ready.wait()
            begun = time.perf_counter()
            decoded = decode(self._model, latents)
            # The latents' memory belongs to the main stream: no one may reuse it before this one is done with it.
            torch.cuda.current_stream().record_event().synchronize()
            return decoded, time.perf_counter() - begun
