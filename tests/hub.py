"""A model hub on this machine: as much of its protocol as a download needs, and a count of what was asked."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from checkpoints import COMMIT


@dataclass
class Hub:
    """Attributes: repos by id, what is refused with which status and error code, the files that were sent."""

    address: str = ""
    repos: dict[str, Path] = field(default_factory=dict)
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    asked: int = 0


def _files(folder: Path) -> list[dict[str, Any]]:
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return [
        {
            "type": "file",
            "path": name,
            "rfilename": name,
            "size": (folder / name).stat().st_size,
            "oid": hashlib.sha1((folder / name).read_bytes()).hexdigest(),
        }
        for name in names
    ]


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            pass

        def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            hub.asked += 1
            words = self.path.partition("?")[0].strip("/").split("/")
            api = words[:2] == ["api", "models"]
            repo = "/".join(words[2:4] if api else words[:2])
            if repo in hub.refused or repo not in hub.repos:
                status, code = hub.refused.get(repo, (401, "RepoNotFound"))
                return self.answer(b"{}", status, X_Error_Code=code)
            folder = hub.repos[repo]
            if api and "tree" in words:
                return self.answer(json.dumps(_files(folder)).encode())
            if api:
                return self.answer(json.dumps({"id": repo, "sha": COMMIT, "siblings": _files(folder)}).encode())
            name = "/".join(words[4:])
            body = (folder / name).read_bytes()
            if self.command == "GET":
                hub.sent.append(name)
            return self.answer(body, ETag=f'"{hashlib.sha1(body).hexdigest()}"', X_Repo_Commit=COMMIT)

        def do_HEAD(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
