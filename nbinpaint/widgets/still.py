"""A static picture beside a live widget, so that a saved notebook shows something where no kernel runs.

The picture is an output of its own with a display id, placed before the widget and updated as things change. A widget
that is alive hides it; where the widget is dead, the picture's own style hides the widget's error text instead.
"""

from __future__ import annotations

import base64
import html
import io
import threading
import uuid
from collections.abc import Sequence
from typing import Any

from PIL import Image

__all__ = ["LONGEST", "Still", "picture_html"]

LONGEST = 1400
"""Pixels of a static picture's longer side at most."""
DELAY = 0.6
"""Seconds of rest before the picture is sent again."""

# The first rule is for a live widget; the second for one whose model is gone, the third for one without a kernel.
_STYLE = (
    "<style>"
    ".jp-OutputArea-child:has(.nb-still):has(+.jp-OutputArea-child .nb-live){display:none}"
    ".jp-OutputArea-child:has(.nb-still)+.jp-OutputArea-child:has(>.jp-OutputArea-output.jupyter-widgets){display:none}"
    ".jp-OutputArea-child:has(.nb-still)+.jp-OutputArea-child:has(.nb-canvas,.nb-grid-root):not(:has(.nb-live))"
    "{visibility:hidden;height:0;min-height:0;overflow:hidden;padding:0}"
    "</style>"
)


def _small(picture: Image.Image) -> Image.Image:
    small = picture.convert("RGB")
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return small


def picture_html(picture: Image.Image, caption: str) -> str:
    """Return a picture as self-contained HTML with a caption under it."""
    buffer = io.BytesIO()
    _small(picture).save(buffer, "JPEG", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    words = html.escape(caption)
    return (
        f'<figure style="margin:0"><img alt="{words}" style="max-width:100%" src="data:image/jpeg;base64,{data}">'
        f'<figcaption style="font-size:90%;opacity:.75">{words}</figcaption></figure>'
    )


class Still:
    """Mixed into a widget: shows `_still_pictures()` beside it and keeps it up to date."""

    _still_id: str | None = None
    _still_timer: threading.Timer | None = None

    def _still_pictures(self) -> list[tuple[Image.Image, str]]:
        """What there is to see, with captions."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        shell = _notebook()
        if shell is not None:
            from IPython.display import display

            # The same id at every display: all copies are updated together.
            self._still_id = self._still_id or uuid.uuid4().hex
            display(_Picture([]), display_id=self._still_id)  # type: ignore[no-untyped-call]
            # The live widget comes first; the picture is made when the cell is through, and still belongs to it.
            shell.events.register("post_run_cell", self._still_first)
        return super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]

    def _still_first(self, *_: Any) -> None:
        shell = _notebook()
        if shell is not None:
            shell.events.unregister("post_run_cell", self._still_first)
        self._still_send()

    def _still(self) -> _Picture:
        return _Picture(self._still_pictures())

    def _still_changed(self) -> None:
        """Send the picture again, once nothing has changed for a moment."""
        if self._still_id is None:
            return
        if self._still_timer is not None:
            self._still_timer.cancel()
        self._still_timer = threading.Timer(DELAY, self._still_send)
        self._still_timer.daemon = True
        self._still_timer.start()

    def _still_send(self) -> None:
        from IPython.display import display

        display(self._still(), display_id=self._still_id, update=True)  # type: ignore[no-untyped-call]


class _Picture:
    """Pictures as HTML, and the last of them as PNG for previews that show no HTML."""

    def __init__(self, pictures: Sequence[tuple[Image.Image, str]]) -> None:
        self._pictures = pictures

    def _repr_html_(self) -> str:
        shown = "".join(picture_html(picture, caption) for picture, caption in self._pictures)
        return f'{_STYLE}<div class="nb-still">{shown}</div>'

    def _repr_png_(self) -> bytes | None:
        if not self._pictures:
            return None
        small = _small(self._pictures[-1][0])
        buffer = io.BytesIO()
        small.quantize(128).save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        return "; ".join(caption for _, caption in self._pictures)


def _notebook() -> Any:
    """The shell of the kernel that shows what is displayed; None in a terminal or script."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return shell if getattr(shell, "kernel", None) is not None else None
