"""A real JupyterLab in a real Chromium, driven from Python: what browser tests and interface benchmarks stand on."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Past any proxy.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
NOTEBOOK = "window.jupyterapp?.shell.currentWidget"


def browser_path() -> str | None:
    """Where a Chromium is, None where there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@dataclass(frozen=True)
class Server:
    """A JupyterLab that listens on loopback."""

    url: str
    token: str
    notebooks: Path
    log: Path

    def address(self, name: str) -> str:
        return f"{self.url}/lab/tree/{name}?token={self.token}&reset"

    def stop_kernels(self) -> None:
        """Shut every kernel down."""
        for session in json.loads(self._call("GET", "sessions")):
            self._call("DELETE", f"sessions/{session['id']}")

    def _call(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(f"{self.url}/api/{path}?token={self.token}", method=method)
        with _direct.open(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def serve(root: Path, kernels: Mapping[str, Path] | None = None) -> Iterator[Server]:
    """Run a JupyterLab of its own under `root`, with no setting of the machine's.

    Args:
        root: An empty folder.
        kernels: More kernels by name, each with a folder of packages that go before this environment's.
    """
    token, port = secrets.token_hex(8), _free_port()
    own = {n: str(root / n) for n in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    settings = {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "docmanager-extension/plugin": {"autosave": False},
    }
    for name, values in settings.items():
        file = root / f"settings/@jupyterlab/{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    for name, packages in (kernels or {}).items():
        file = root / "JUPYTER_DATA_DIR/kernels" / name / "kernel.json"
        file.parent.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": command, "display_name": name, "language": "python", "env": {"PYTHONPATH": str(packages)}}
        file.write_text(json.dumps(spec))
    (root / "notebooks").mkdir(exist_ok=True)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", "--expose-app-in-browser"),
        *(f"--ServerApp.root_dir={root}/notebooks", f"--LabApp.user_settings_dir={root}/settings"),
        f"--LabApp.workspaces_dir={root}/workspaces",
    ]
    log = root / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=dict(os.environ, HOME=str(root), **own), stdout=out, stderr=subprocess.STDOUT
        )
    try:
        for _ in range(600):
            try:
                _direct.open(f"http://127.0.0.1:{port}/api?token={token}", timeout=1)
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(log.read_text()) from None
                time.sleep(0.1)
        yield Server(f"http://127.0.0.1:{port}", token, root / "notebooks", log)
    finally:
        process.terminate()  # the kernels stop with it
        process.wait(20)


@contextmanager
def browse(width: int = 1400, height: int = 1000, **options: Any) -> Iterator[Any]:
    """Start Chromium and yield a fresh Playwright page."""
    from playwright.sync_api import sync_playwright

    port = _free_port()
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--remote-debugging-port={port}"]
        browser = playwright.chromium.launch(executable_path=browser_path(), args=flags)
        try:
            page = browser.new_page(viewport={"width": width, "height": height}, **options)
            page.debugging_port = port
            yield page
        finally:
            browser.close()


class Mouse:
    """Sends mouse events to a page without waiting for it, as a hand does; Playwright's own waits for each."""

    def __init__(self, page: Any) -> None:
        import websocket

        with _direct.open(f"http://127.0.0.1:{page.debugging_port}/json", timeout=10) as answer:
            targets = json.load(answer)
        address = next(t["webSocketDebuggerUrl"] for t in targets if t["type"] == "page" and t["url"] == page.url)
        self._wire = websocket.create_connection(address, suppress_origin=True, http_no_proxy=["127.0.0.1"])
        self._count = 0

    def send(self, kind: str, x: float, y: float, pressed: bool = True) -> None:
        """Send "mousePressed", "mouseMoved" or "mouseReleased" of the left button, in CSS pixels of the page."""
        self._count += 1
        event = {"type": kind, "x": x, "y": y, "button": "left", "buttons": int(pressed), "clickCount": 1}
        self._wire.send(json.dumps({"id": self._count, "method": "Input.dispatchMouseEvent", "params": event}))

    def close(self) -> None:
        """Wait until the page has taken everything, and part."""
        while json.loads(self._wire.recv()).get("id") != self._count:
            pass
        self._wire.close()


class Notebook:
    """A notebook that is open in the page."""

    def __init__(self, server: Server, page: Any, name: str, cells: list[str], kernel: str = "python3") -> None:
        self.server, self.page, self.name = server, page, name
        self.path = server.notebooks / name
        spec = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=spec)
        nbformat.write(made, self.path)
        self.open()

    def open(self) -> None:
        self.page.goto(self.server.address(self.name))
        self.wait_idle()

    def wait_idle(self) -> None:
        self.page.wait_for_function(
            f"() => {NOTEBOOK}?.sessionContext?.session?.kernel?.status == 'idle'", timeout=90_000
        )

    def run(self) -> None:
        """Start every cell; does not wait for them."""
        self.page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def save(self) -> None:
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def ask(self, code: str) -> str:
        """Run code in the notebook's kernel and return what it prints."""
        script = (
            "async code => { let out = ''; const f = " + NOTEBOOK + ".sessionContext.session.kernel"
            ".requestExecute({code, store_history: false});"
            "f.onIOPub = m => { out += m.content.text || (m.content.ename ? 'ERROR ' + m.content.evalue : '') };"
            "await f.done; return out }"
        )
        return str(self.page.evaluate(script, code)).strip()

    def until(self, condition: str, seconds: float = 20) -> None:
        """Wait until a Python expression is true in the kernel."""
        end = time.monotonic() + seconds
        while (answer := self.ask(f"print(bool({condition}))")) != "True":
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} is still {answer or 'unanswered'} after {seconds} s")

    def theme(self, name: str) -> None:
        """Switch to "JupyterLab Light" or "JupyterLab Dark"."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name)
        self.page.wait_for_function(f"() => document.body.dataset.jpThemeName == {json.dumps(name)}")
