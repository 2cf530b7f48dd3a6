"""From latents to pictures: who waits for whom and how long, what is no number, and encoders that leave the device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import box_mask, smooth_image

import nbinpaint as nb
from nbinpaint.engine import decode as decoding
from nbinpaint.engine.decode import Decoder, decode
from nbinpaint.engine.diffusion import DiffusionEngine
from nbinpaint.engine.encoders import Encoders
from nbinpaint.engine.models import Model, load_model

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def model(random_model: Path) -> Model:
    return load_model(random_model, device="cpu", dtype="float64")


def latents(seed: int, side: int = 8) -> torch.Tensor:
    return torch.randn(1, 4, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def names(decoder: Decoder[str], last: bool = False) -> list[str]:
    return [name for name, made, _ in decoder.pictures(last) if not isinstance(made, Exception)]


def test_the_first_is_shown_at_once_and_later_ones_wait_a_bounded_moment(model: Model) -> None:
    clock = Clock()
    decoder: Decoder[str] = Decoder(model, hold=0.5, clock=clock)
    decoder.add("a", latents(1))
    assert names(decoder) == ["a"]
    decoder.add("b", latents(2))
    assert names(decoder) == []
    clock.now = 0.4
    decoder.add("c", latents(3))
    assert names(decoder) == []
    clock.now = 0.5
    assert names(decoder) == ["b", "c"]
    decoder.add("d", latents(4))
    assert names(decoder, last=True) == ["d"]


def test_a_full_batch_does_not_wait_and_none_is_larger(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_TOGETHER_ELSEWHERE", 3 * 16 * 16)
    sizes = []
    pixels = decoding.pixels
    monkeypatch.setattr(decoding, "pixels", lambda m, x: (sizes.append(len(x)), pixels(m, x))[1])
    decoder: Decoder[str] = Decoder(model, hold=100, clock=Clock())
    decoder.add("first", latents(0))
    names(decoder)
    for name in "abcdefg":
        decoder.add(name, latents(ord(name)))
    assert names(decoder) == ["a", "b", "c", "d", "e", "f"]
    assert names(decoder, last=True) == ["g"]
    assert sizes == [1, 3, 3, 1]


def test_decoding_together_is_decoding_alone(model: Model) -> None:
    together = decode(model, [latents(seed) for seed in range(4)])
    for seed, picture in enumerate(together):
        (alone,) = decode(model, [latents(seed)])
        assert alone.image.tobytes() == picture.image.tobytes()
        (expected,) = model.pipeline.image_processor.postprocess(decoding.pixels(model, latents(seed)))
        assert np.array_equal(np.asarray(picture.image), np.asarray(expected))


def test_what_is_no_number_is_said_and_spoils_no_neighbour(model: Model) -> None:
    broken = latents(1)
    broken[0, 0, 3, 3] = float("nan")
    first, second, third = decode(model, [latents(0), broken, latents(2)])
    assert (first.problem, third.problem) == ("", "")
    assert "latents are not finite" in second.problem
    assert third.image.tobytes() == decode(model, [latents(2)])[0].image.tobytes()


def test_a_decoder_that_leaves_its_number_range_is_said(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "pixels", lambda m, x: torch.full((len(x), 3, 16, 16), float("inf")))
    assert "VAE left the range" in decode(model, [latents(0)])[0].problem


def test_what_does_not_fit_together_is_decoded_one_by_one(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = decoding.pixels

    def small(m: Model, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return pixels(m, x)

    whole = decode(model, [latents(seed) for seed in range(3)])
    monkeypatch.setattr(decoding, "pixels", small)
    assert [p.image.tobytes() for p in decode(model, [latents(seed) for seed in range(3)])] == [
        p.image.tobytes() for p in whole
    ]


def test_a_picture_that_cannot_be_decoded_fails_alone(random_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = DiffusionEngine(load_model(random_model, device="cpu", dtype="float64"), rows=4)
    decoded = decoding.decode
    made = []

    def stumble(m: Model, some: list[torch.Tensor]) -> list[decoding.Decoded]:
        made.append(len(some))
        if len(made) == 2:
            raise RuntimeError("the decoder stumbled")
        return decoded(m, some)

    monkeypatch.setattr(decoding, "decode", stumble)
    sweep = nb.Sweep(smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24)), nb.Params(size=32), steps=[2, 3, 4])
    study = nb.run(sweep, engine=engine, progress=False)
    assert made == [1, 1, 1]
    assert [f.message for f in study.failures.values()] == ["the decoder stumbled"]
    assert len(study.results) == 2


def travels(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Keep a list of which module was sent where; nothing is really sent."""
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(
        torch.nn.Module, "to", lambda self, place: (sent.append((type(self).__name__, str(place))), self)[1]
    )
    return sent


def test_encoders_leave_and_come_back_when_they_are_called(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = Encoders(model, away=torch.device("meta"))
    sent = travels(monkeypatch)
    encoders.rest()
    encoders.rest()
    assert sent == [("CLIPTextModel", "meta"), ("Encoder", "meta"), ("Conv2d", "meta")]
    sent.clear()
    model.pipeline.encode_prompt("a cat", model.device, 1, False)
    assert sent == [("CLIPTextModel", "cpu")]
    sent.clear()
    model.pipeline.vae.encode(torch.zeros(1, 3, 16, 16, dtype=torch.float64))
    assert sent == [("Encoder", "cpu"), ("Conv2d", "cpu")]
    sent.clear()
    model.pipeline.vae.decode(torch.zeros(1, 4, 8, 8, dtype=torch.float64))
    assert sent == []


def test_a_run_sends_the_encoders_away_and_gives_the_same(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = nb.Sweep(
        smooth_image(32, 32), box_mask(32, 32, (8, 8, 24, 24)), nb.Params(size=32, steps=2), seed=[1, 2, 3]
    )
    expected = nb.run(sweep, engine=DiffusionEngine(model, rows=2), progress=False)
    engine = DiffusionEngine(model, rows=2, offload=True)
    sent = travels(monkeypatch)
    study = nb.run(sweep, engine=engine, progress=False)
    assert [r.raw.tobytes() for r in study] == [r.raw.tobytes() for r in expected]
    assert sent == [("CLIPTextModel", "cpu"), ("Encoder", "cpu"), ("Conv2d", "cpu")]  # away once, never called again
