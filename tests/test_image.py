"""Pictures and masks from wherever people have them, and onto a canvas and back."""

from __future__ import annotations

import base64
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import smooth_image
from PIL import Image

import nbinpaint as nb
from nbinpaint import image as image_module
from nbinpaint.placement import place

RED = (255, 0, 0)


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A web server on loopback: /photo.png, /page.html, /huge.png; anything else is not found."""
    answers = {
        "/photo.png": ("image/png", encoded(Image.new("RGB", (5, 4), RED))),
        "/page.html": ("text/html", b"<html>"),
        "/huge.png": ("image/png", b"x" * 2000),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = answers.get(self.path, ("", b""))
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind or "text/plain")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_every_kind_of_source_gives_the_same_picture(tmp_path: Path, server: str) -> None:
    picture = Image.new("RGB", (5, 4), RED)
    content = encoded(picture)
    file = tmp_path / "photo.png"
    file.write_bytes(content)
    array = np.asarray(picture)
    upload = ({"name": "photo.png", "content": memoryview(content)},)
    sources = [
        file,
        str(file),
        f"{server}/photo.png",
        content,
        bytearray(content),
        io.BytesIO(content),
        "data:image/png;base64," + base64.b64encode(content).decode(),
        array,
        array / 255.0,
        (array.astype(np.uint16) * 257),
        np.dstack([array, np.full((4, 5), 255, np.uint8)]),
        picture,
        upload,
    ]
    for source in sources:
        loaded = nb.load_image(source)
        assert (loaded.mode, loaded.size) == ("RGB", (5, 4))
        assert loaded.tobytes() == picture.tobytes(), type(source)


def test_a_photo_is_turned_upright() -> None:
    picture = Image.new("RGB", (4, 2), RED)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert nb.load_image(encoded(picture, "JPEG", exif=exif)).size == (2, 4)


def test_transparency_lies_over_white() -> None:
    picture = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    picture.putpixel((1, 0), (0, 0, 255, 255))
    assert list(np.asarray(nb.load_image(picture))[0].tolist()) == [[255, 255, 255], [0, 0, 255]]
    palette = picture.quantize(4)
    assert nb.load_image(encoded(palette)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "RGBA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert nb.load_image(Image.new("L", (3, 3), 255).convert(mode)).getpixel((1, 1)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    deep = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    grey = np.asarray(nb.load_image(encoded(deep)))[0, :, 0]
    assert grey.tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"no picture at all", ["damaged or no picture"]),
        (encoded(smooth_image(40, 40))[:300], ["damaged"]),
        ("/nowhere/photo.png", ["/nowhere/photo.png", "does not exist"]),
        ("data:image/png;base64,!!", ["data:image/png", "damaged"]),
        (np.zeros((4, 4, 7), np.uint8), ["(4, 4, 7)", "(height, width, 3)"]),
        (np.zeros((0, 4), np.uint8), ["(0, 4)"]),
        (np.full((4, 4), 2.0), ["0 to 1"]),
        (np.zeros((4, 4), np.int64), ["int64", "uint8"]),
        (3.5, ["float", "a path"]),
    ],
)
def test_what_is_no_picture_is_refused_in_words(source: Any, words: list[str]) -> None:
    with pytest.raises(nb.InvalidImage) as error:
        nb.load_image(source)
    for word in words:
        assert word in str(error.value)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_module, "MOST_PIXELS", 1000)
    with pytest.raises(nb.InvalidImage, match="40 x 40"):
        nb.load_image(encoded(smooth_image(40, 40)))


def test_bad_addresses_are_refused_in_words(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(nb.InvalidImage, match="text/html"):
        nb.load_image(f"{server}/page.html")
    with pytest.raises(nb.InvalidImage, match="Not Found"):
        nb.load_image(f"{server}/nothing.png")
    monkeypatch.setattr(image_module, "MOST_BYTES", 1000)
    with pytest.raises(nb.InvalidImage, match="larger than"):
        nb.load_image(f"{server}/huge.png")


def test_a_mask_is_read_by_luminance_or_by_what_was_erased() -> None:
    grey = np.array([[0, 127, 128, 255]], np.uint8)
    assert nb.load_mask(grey).tolist() == [[0, 0, 255, 255]]
    assert nb.load_mask(grey >= 128).tolist() == [[0, 0, 255, 255]]
    erased = Image.new("RGBA", (2, 1), (200, 200, 200, 255))
    erased.putpixel((1, 0), (0, 0, 0, 0))
    assert nb.load_mask(erased).tolist() == [[0, 255]]
    assert nb.load_mask(erased, channel="luminance").tolist() == [[255, 255]]
    with pytest.raises(nb.InvalidMask, match="no alpha"):
        nb.load_mask(grey, channel="alpha")
    with pytest.raises(nb.InvalidMask, match="4 x 1; allowed: the image's own size, 5 x 1"):
        nb.load_mask(grey, size=(5, 1))
    with pytest.raises(nb.InvalidMask, match="no picture"):
        nb.load_mask(b"nothing")


def test_a_picture_of_the_canvas_size_keeps_its_bytes() -> None:
    photo = smooth_image(64, 48)
    for mode in ("stretch", "crop", "fill"):
        assert place((64, 48), (64, 48), mode).image(photo).tobytes() == photo.tobytes()


def test_crop_cuts_evenly_and_fill_repeats_the_edges() -> None:
    stripes = np.zeros((8, 16, 3), np.uint8)
    stripes[:, :4], stripes[:, 12:] = 50, 200
    cropped = np.asarray(place((16, 8), (8, 8), "crop").image(Image.fromarray(stripes)))
    assert (cropped == 0).all()
    filled = np.asarray(place((16, 8), (16, 16), "fill").image(Image.fromarray(stripes)))
    assert np.array_equal(filled[0], filled[8])
    assert np.array_equal(filled[4:12], stripes)
    mask = np.full((8, 16), 255, np.uint8)
    placed = place((16, 8), (16, 16), "fill").mask(mask)
    assert (placed[4:12] == 255).all()
    assert not placed[:4].any()


@pytest.mark.parametrize("name", nb.samples())
def test_every_sample_has_a_mask_and_a_prompt(name: str) -> None:
    sample = nb.sample(name)
    assert sample.mask.shape == sample.image.size[::-1]
    assert 0.02 < (sample.mask > 0).mean() < 0.6
    assert sample.prompt
    assert sample.title


def test_an_unknown_sample_is_refused_with_the_known_ones() -> None:
    with pytest.raises(nb.InvalidImage, match="meadow"):
        nb.sample("nonsense")


@pytest.mark.parametrize("load", [nb.load_image, nb.load_mask])
def test_whatever_is_wrong_is_said_in_one_kind_of_error(load, tmp_path: Path) -> None:
    smooth_image(40, 30).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:300])
    closed = (tmp_path / "whole.png").open("rb")
    closed.close()
    cut = Image.open(tmp_path / "cut.png")  # Pillow reads the header alone
    nowhere = Image.fromarray(np.full((4, 4), np.nan, np.float32))
    for source in (
        cut,
        closed,
        nowhere,
        "a\0b",
        "~no-such-user/x.png",
        "https://[bad",
        "",
        Image.new("1", (20000, 20000)),
    ):
        with pytest.raises((nb.InvalidImage, nb.InvalidMask)):
            load(source)
    cut.close()
