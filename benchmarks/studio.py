"""How quick the Studio and the grid are, in a real JupyterLab in a real Chromium: part of `make bench-ui`."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.canvas import WATCH, Hand, percentile, wave
from benchmarks.jupyterlab import Notebook, Server, browse, serve
from benchmarks.machine import describe, write_results

STUDIO = "import nbinpaint as nb\nstudio = nb.Studio()\nstudio"
LISTEN = """
import time
finished = {}
def note(event, progress):
    if type(event).__name__ == "Finished": finished[event.cell.index] = time.time() * 1000
studio.desk.axes = [{"name": "scheduler", "text": "DDIM, K_EULER, DPMSolverMultistep, K_EULER_ANCESTRAL, PNDM, KLMS"},
                    {"name": "denoise", "text": "0.2, 0.4, 0.6, 0.8, 1.0"}]
hear = studio.grid.hear
studio.grid.hear = lambda event, progress: (note(event, progress), hear(event, progress))
"""
SEEN = """() => {
  window.nbSeen = {};
  const look = () => {
    for (const cell of document.querySelectorAll('.nb-cell[data-status=done]')) {
      const image = cell.querySelector('img');
      if (!nbSeen[cell.dataset.key] && image.src) {
        nbSeen[cell.dataset.key] = -1;
        image.decode().then(() => requestAnimationFrame(() => (nbSeen[cell.dataset.key] = Date.now())));
      }
    }
    requestAnimationFrame(look);
  };
  look();
}"""
MANY = """
import nbinpaint as nb
scene = nb.sample("astronaut")
sweep = nb.Sweep(scene.image, scene.mask, nb.Params(prompt="a cat"), seed=range(20), denoise="0.1-1.0 [10]", size=[512])
study = nb.run(sweep, engine=nb.FakeEngine(), progress=False)
"""
SCROLL = """async () => {
  const grid = document.querySelector('.nb-grid');
  const gaps = [];
  let last = performance.now();
  for (let i = 0; i < 90; i++) {
    grid.scrollTop += 30;
    await new Promise((done) => requestAnimationFrame(done));
    gaps.push(performance.now() - last);
    last = performance.now();
  }
  return gaps;
}"""


def run_cell(book: Notebook, index: int) -> None:
    book.page.evaluate(
        "async i => { const n = window.jupyterapp.shell.currentWidget.content; n.activeCellIndex = i;"
        "window.jupyterapp.commands.execute('notebook:run-cell') }",
        index,
    )


def studio(server: Server, page: Any) -> dict[str, Any]:
    book = Notebook(server, page, "studio.ipynb", [STUDIO])
    begun = time.perf_counter()
    book.run()
    page.wait_for_selector(".nb-live .nb-ink")
    page.wait_for_selector(".nb-panel select")
    usable = time.perf_counter() - begun
    book.until("studio.engine is not None", 60)
    book.ask(LISTEN)
    page.evaluate(SEEN)
    page.wait_for_function(
        "() => document.querySelector('.nb-compare').nextSibling.parentNode.innerText.includes('30')"
    )
    begun = time.perf_counter()
    page.locator(".nb-compare").click()
    page.wait_for_function("() => Object.values(nbSeen).some((t) => t > 0)", timeout=120_000)
    first = time.perf_counter() - begun
    page.evaluate(WATCH)
    hand = Hand(page)
    for i in range(4):
        hand.stroke(wave(90, 0.1 + 0.13 * i), 120)
    moves = [one for one, _ in page.evaluate("() => nbLog.moves")]
    book.until("studio.job.done", 300)
    seconds = float(book.ask("print(studio.job.progress.seconds)"))
    page.locator(".nb-grid").scroll_into_view_if_needed()
    page.wait_for_function("() => Object.values(nbSeen).filter((t) => t > 0).length >= 15")
    finished = json.loads(book.ask("import json; print(json.dumps(finished))"))
    seen = page.evaluate("() => nbSeen")
    waits = [seen[key] - finished[key] for key in finished if seen.get(key, -1) > 0]
    server.stop_kernels()
    return {
        "usable_s": round(usable, 2),
        "first_picture_s": round(first, 2),
        "thirty_cells_s": round(seconds, 1),
        "finished_to_screen_ms_median": round(statistics.median(waits)),
        "finished_to_screen_ms_p95": round(percentile(waits, 0.95)),
        "ink_ms_median": round(statistics.median(moves), 1),
        "ink_ms_p95": round(percentile(moves, 0.95), 1),
    }


def many(server: Server, page: Any) -> dict[str, Any]:
    book = Notebook(server, page, "many.ipynb", [MANY, "grid = nb.ComparisonGrid(study)\ngrid"])
    run_cell(book, 0)
    book.until("'study' in globals() and len(study.results) == 200", 120)
    begun = time.perf_counter()
    run_cell(book, 1)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.nb-cell img')].filter((i) => i.complete && i.naturalWidth).length > 10"
    )
    shown = time.perf_counter() - begun
    gaps = page.evaluate(SCROLL)
    server.stop_kernels()
    return {
        "cells": 200,
        "shown_s": round(shown, 2),
        "scroll_frame_ms_median": round(statistics.median(gaps), 1),
        "scroll_frame_ms_longest": round(max(gaps), 1),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server, browse(1600, 1700) as page:
        figures = {"studio": studio(server, page), "many": many(server, page)}
    for part, values in figures.items():
        print()
        for name, value in values.items():
            print(f"{part:8}{name:32}{value:>10}")
    path = write_results("studio", figures | {"machine": describe(), "command": "make bench-ui"})
    print(f"written to {path}")


if __name__ == "__main__":
    main()
