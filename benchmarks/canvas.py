"""How quick the mask canvas is under a hand, in a real JupyterLab in a real Chromium: `make bench-ui`.

Four situations: an idle kernel, a cell that blocks it, a sweep of the embedded model running in it, and 150 ms of delay
between page and server. In each a pointer moves over a 1024 px photo, and the page itself notes when a movement came in
and when the frame that shows its ink was done.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.jupyterlab import Mouse, Notebook, Server, browse, serve
from benchmarks.machine import describe, write_results

SETUP = """
import json, time, numpy as np, nbinpaint as nb
from nbinpaint.strokes import acts_from_json, draw
y, x = np.mgrid[:{side}, :{side}] / {side}
photo = (np.stack([x, y, 1 - x], -1) * 255).astype(np.uint8)
canvas = nb.MaskCanvas(photo, radius=16)
canvas
"""
BLOCK = "import os\nwhile not os.path.exists('go'): time.sleep(0.01)\nos.remove('go')"
SWEEP = """
scene = nb.sample("beach")
sweep = nb.Sweep(scene.image, scene.mask, nb.Params(prompt="a red apple"), scheduler=nb.SCHEDULERS, seed=range(40))
job = nb.start(sweep, engine=nb.load_engine("embedded"))
"""
WATCH = """() => {
  const ink = document.querySelector('.nb-live .nb-ink');
  const log = (window.nbLog = { moves: [], commits: [], waiting: [] });
  ink.addEventListener('pointermove', (e) => log.waiting.push([performance.now(), e.timeStamp]), true);
  ink.addEventListener('pointerup', () => (log.up = performance.now()), true);
  new MutationObserver(() => log.commits.push(performance.now() - log.up))
    .observe(ink, { attributes: true, attributeFilter: ['data-acknowledged'] });
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...args) {
    draw.apply(this, args);
    if (this.canvas === ink && log.waiting.length) {
      const begun = log.waiting.splice(0);
      const { port1, port2 } = new MessageChannel();  // its task runs when the frame is done
      port1.onmessage = () => begun.forEach((t) => log.moves.push(t.map((one) => performance.now() - one)));
      port2.postMessage(0);
    }
  };
}"""


class Delay:
    """A relay that holds everything back for half the delay in each direction."""

    def __init__(self, port: int, seconds: float) -> None:
        self._target, self._wait = port, seconds / 2
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        begun = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._accept, "127.0.0.1", 0), self._loop)
        self.port = begun.result(10).sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._relay(reader, back), self._relay(there, writer), return_exceptions=True)

    async def _relay(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def pour() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - time.monotonic()))
                if not data:
                    target.close()
                    return
                target.write(data)

        task = asyncio.create_task(pour())
        while True:
            data = await source.read(65536)
            queue.put_nowait((time.monotonic() + self._wait, data))
            if not data:
                break
        await task

    def close(self) -> None:
        async def stop() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._loop.set_exception_handler(lambda *_: None)  # connections that the end cut off

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)


class Hand:
    """Moves the pointer over the canvas without waiting for the page."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.ink = page.locator(".nb-live .nb-ink")
        self.ink.wait_for()
        self.ink.scroll_into_view_if_needed()
        self.box = self.ink.bounding_box()

    def _at(self, point: tuple[float, float]) -> tuple[float, float]:
        return self.box["x"] + point[0] * self.box["width"], self.box["y"] + point[1] * self.box["height"]

    def stroke(self, points: list[tuple[float, float]], rate: float) -> float:
        """Press, move so many times a second, release; returns the seconds that the moves took."""
        mouse = Mouse(self.page)
        mouse.send("mousePressed", *self._at(points[0]))
        begun = time.perf_counter()
        for i, point in enumerate(points):
            mouse.send("mouseMoved", *self._at(point))
            time.sleep(max(0, begun + (i + 1) / rate - time.perf_counter()))
        spent = time.perf_counter() - begun
        mouse.send("mouseReleased", *self._at(points[-1]), pressed=False)
        mouse.close()
        return spent


def wave(count: int, row: float) -> list[tuple[float, float]]:
    return [(0.05 + 0.9 * i / count, row + 0.03 * ((i // 6) % 2)) for i in range(count)]


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def measure(notebook: Notebook, strokes: int = 6) -> dict[str, Any]:
    """Paint some strokes at 120 movements a second.

    Returns milliseconds from the page's event to the end of the frame that shows its ink; the same from the moment that
    the browser got the input, which Chromium holds back for the next frame; and from pen-up until the kernel's own
    drawing of it is there.
    """
    page = notebook.page
    hand = Hand(page)
    page.evaluate(WATCH)
    for i in range(strokes):
        hand.stroke(wave(90, 0.1 + 0.13 * i), 120)
        page.wait_for_timeout(150)
    moves, since_input = zip(*page.evaluate("() => nbLog.moves"), strict=True)
    commits = page.evaluate("() => nbLog.commits")
    return {
        "moves": len(moves),
        "ink_ms_median": round(statistics.median(moves), 1),
        "ink_ms_p95": round(percentile(moves, 0.95), 1),
        "ink_ms_since_input_median": round(statistics.median(since_input), 1),
        "commit_ms_median": round(statistics.median(commits), 1) if commits else None,
    }


@contextmanager
def opened(server: Server, page: Any, name: str, side: int = 1024, *more: str) -> Iterator[Notebook]:
    book = Notebook(server, page, name, [SETUP.format(side=side), *more])
    book.run()
    page.wait_for_selector(".nb-live .nb-ink")
    yield book
    server.stop_kernels()


def same(book: Notebook) -> bool:
    book.until("len(canvas.strokes) > 0")
    answer = book.ask("print(np.array_equal(draw(acts_from_json(canvas.strokes), canvas.image), canvas.mask))")
    return answer == "True"


def main() -> None:
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server, browse() as page:
        with opened(server, page, "idle.ipynb") as book:
            rows["idle"] = measure(book)
            rows["idle"]["mask_equals_points"] = same(book)
            book.ask("canvas.clear()")
            points = wave(200, 0.5)
            spent = Hand(page).stroke(points, 1000)
            book.until("len(canvas.strokes) == 1")
            kept = json.loads(book.ask("print(len(canvas.strokes[0]['points']))"))
            burst = {"moves": len(points), "points_kept": kept, "seconds": round(spent, 2)}
        with opened(server, page, "blocked.ipynb", 1024, BLOCK) as book:
            page.wait_for_function("() => document.querySelectorAll('.jp-InputPrompt')[1]?.textContent == '[*]:'")
            rows["cell blocks the kernel"] = measure(book)
            (server.notebooks / "go").touch()
            book.wait_idle()
            rows["cell blocks the kernel"]["mask_equals_points"] = same(book)
        with opened(server, page, "sweep.ipynb", 1024, SWEEP) as book:
            book.until("'job' in globals() and job.progress.steps_done > 0", 120)
            rows["sweep runs"] = measure(book)
            rows["sweep runs"]["still_running"] = book.ask("print(not job.done)") == "True"
            book.ask("job.cancel()")
            rows["sweep runs"]["mask_equals_points"] = same(book)
        relay = Delay(int(server.url.rsplit(":", 1)[1]), 0.15)
        far = replace(server, url=f"http://127.0.0.1:{relay.port}")
        with opened(far, page, "far.ipynb") as book:
            rows["150 ms delay"] = measure(book)
            rows["150 ms delay"]["mask_equals_points"] = same(book)
        relay.close()
        with opened(server, page, "large.ipynb", 2048) as book:
            rows["2048 px photo, idle"] = measure(book)
            rows["2048 px photo, idle"]["mask_equals_points"] = same(book)
    heads = ("ink, median", "ink, p95", "since input", "pen-up to committed", "mask = points")
    print("\n" + " " * 24 + "".join(f"{head:>{max(13, len(head) + 2)}}" for head in heads))
    for name, row in rows.items():
        figures = [row["ink_ms_median"], row["ink_ms_p95"], row["ink_ms_since_input_median"], row["commit_ms_median"]]
        cells = ["-" if figure is None else f"{figure:.1f} ms" for figure in figures]
        cells.append("yes" if row["mask_equals_points"] else "NO")
        print(f"{name:24}" + "".join(f"{c:>{max(13, len(h) + 2)}}" for c, h in zip(cells, heads, strict=True)))
    print(f"\n{burst['moves']} moves in {burst['seconds']} s: {burst['points_kept']} points kept")
    path = write_results("canvas", {"rows": rows, "burst": burst, "machine": describe(), "command": "make bench-ui"})
    print(f"written to {path}")


if __name__ == "__main__":
    main()
