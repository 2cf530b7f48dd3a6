"""Draws the procedural backdrops of `domain.BACKGROUNDS` as float arrays, at any size from one seed."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

Rgb = tuple[float, float, float]


def _mix(a: Rgb | np.ndarray, b: Rgb | np.ndarray, t: np.ndarray) -> np.ndarray:
    t = t[..., None].astype(np.float32)
    return np.asarray(a, np.float32) * (1 - t) + np.asarray(b, np.float32) * t


def _noise(rng: np.random.Generator, cells: int, size: int) -> np.ndarray:
    grid = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))


def paint(name: str, rng: np.random.Generator, size: int, a: Rgb, b: Rgb) -> np.ndarray:
    """One backdrop of `size` pixels; `a` and `b` colour those that have colours of their own."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    return PAINTERS[name](rng, x, y, a, b)


def _plain(rng, x, y, a, b):
    return np.broadcast_to(np.asarray(a, np.float32), (*x.shape, 3)).copy()


def _gradient(rng, x, y, a, b):
    angle = rng.uniform(0, 2 * math.pi)
    return _mix(a, b, np.clip((x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle) + 0.5, 0, 1))


def _stripes(rng, x, y, a, b):
    angle = rng.choice([0, 0.25, 0.5, 0.75]) * math.pi
    along = x * math.cos(angle) + y * math.sin(angle)
    wave = np.sin(along * rng.uniform(3, 6) * 2 * math.pi + rng.uniform(0, 6))
    return _mix(a, b, np.clip(wave * x.shape[0] / 12 + 0.5, 0, 1))


def _checkers(rng, x, y, a, b):
    count = int(rng.integers(4, 8))
    return _mix(a, b, ((x * count).astype(int) + (y * count).astype(int)) % 2)


def _dots(rng, x, y, a, b):
    count = int(rng.integers(4, 8))
    far = np.hypot((x * count) % 1 - 0.5, (y * count) % 1 - 0.5)
    return _mix(a, b, np.clip((0.27 - far) * x.shape[0] / count + 0.5, 0, 1))


def _grass(rng, x, y, a, b):
    size = x.shape[0]
    return _mix((38, 110, 40), (122, 190, 72), _noise(rng, 24, size) * 0.55 + _noise(rng, 9, size) * 0.45)


def _sky(rng, x, y, a, b):
    size = x.shape[0]
    clouds = np.clip((_noise(rng, 5, size) * 0.7 + _noise(rng, 11, size) * 0.3 - 0.5) * 5, 0, 1) * 0.9
    return _mix(_mix((70, 140, 225), (186, 221, 250), y), (250, 250, 250), clouds)


def _sand(rng, x, y, a, b):
    size = x.shape[0]
    return _mix((205, 170, 112), (240, 216, 162), _noise(rng, 26, size) * 0.4 + _noise(rng, 6, size) * 0.6)


def _water(rng, x, y, a, b):
    bend = 0.25 * np.sin(x * 8 + rng.uniform(0, 6)) + _noise(rng, 6, x.shape[0]) * 0.6
    wave = 0.5 + 0.5 * np.sin((y * rng.uniform(8, 13) + bend) * 2 * math.pi)
    return _mix((26, 92, 172), (90, 176, 226), wave * 0.7)


def _wood(rng, x, y, a, b):
    grain = 0.5 + 0.5 * np.sin((y * 9 + _noise(rng, 5, x.shape[0]) * 2.2) * 2 * math.pi)
    return _mix((122, 74, 40), (178, 120, 68), grain)


def _bricks(rng, x, y, a, b):
    rows = 8
    shifted = x * rows / 2 + (y * rows).astype(int) % 2 * 0.5
    mortar = ((y * rows) % 1 < 0.14) | (shifted % 1 < 0.07)
    return _mix(_mix((164, 70, 50), (196, 96, 70), _noise(rng, 20, x.shape[0])), (205, 200, 190), mortar)


def _night(rng, x, y, a, b):
    stars = np.zeros_like(x)
    for px, py, radius in zip(*rng.random((2, 26)), rng.uniform(0.004, 0.009, 26), strict=True):
        stars = np.maximum(stars, np.clip((radius - np.hypot(x - px, y - py)) * x.shape[0] + 0.5, 0, 1))
    return _mix(_mix((8, 10, 40), (42, 36, 92), y), (250, 250, 222), stars)


def _meadow(rng, x, y, a, b):
    horizon = rng.uniform(0.45, 0.7)
    hill = horizon + 0.03 * np.sin(x * 6 + rng.uniform(0, 6))
    sky = _mix((90, 160, 235), (202, 229, 250), np.clip(y / horizon, 0, 1))
    grass = _mix((60, 140, 50), (122, 190, 72), _noise(rng, 30, x.shape[0]))
    return _mix(sky, grass, np.clip((y - hill) * x.shape[0] + 0.5, 0, 1))


def _snow(rng, x, y, a, b):
    size = x.shape[0]
    drifts = _noise(rng, 5, size) * 0.7 + _noise(rng, 22, size) * 0.3
    return _mix((198, 214, 236), (250, 252, 255), drifts)


PAINTERS = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "checkers": _checkers,
    "dots": _dots,
    "grass": _grass,
    "sky": _sky,
    "sand": _sand,
    "water": _water,
    "wood": _wood,
    "bricks": _bricks,
    "night": _night,
    "meadow": _meadow,
    "snow": _snow,
}
