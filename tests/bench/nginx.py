"""nginx as the far side: canned answers from a process that takes next to no CPU, and a log of when each call came.

``/small/...`` answers with an image of 320 bytes in base64, also as the text of a chat; ``/large/...`` with one of
2.6 MB, and ``/url/...`` with a link to that image, which nginx serves as well.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .apart import MissingToolError
from .pictures import picture, small_picture

_INSTALL = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", "nginx-light")
_CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 9000; }}
http {{
    log_format wire '$msec $request_time $uri';
    access_log {log};
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    sendfile on; tcp_nopush on; open_file_cache max=20; keepalive_requests 1000000;
    default_type application/json;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        root {folder};
        location /files/ {{ types {{ image/png png; }} }}
        location /beat {{ return 204; }}
        location /small/ {{ error_page 405 =200 /files/small.json; return 405; }}
        location /small/v1/chat/ {{ error_page 405 =200 /files/chat.json; return 405; }}
        location /large/ {{ error_page 405 =200 /files/large.json; return 405; }}
        location /url/ {{ error_page 405 =200 /files/url.json; return 405; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx. ``large`` is the size of the large image."""

    url: str
    log: Path
    large: int


def program() -> str:
    """Return the path of nginx; install it where that is possible."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    if found := shutil.which("nginx", path=path):
        return found
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise MissingToolError("nginx is missing; on Debian: sudo apt-get install --no-install-recommends nginx-light")
    for command in (_INSTALL, ("apt-get", "update", "-qq"), _INSTALL):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if found := shutil.which("nginx", path=path):
            return found
    raise MissingToolError(f"nginx cannot be installed: {done.stderr.strip()[-300:]}")


@contextmanager
def serve(*, side: int = 1024, logged: bool = False) -> Iterator[Nginx]:
    """Run nginx with an image of *side* x *side* pixels as the large one; *logged* writes a line for each request."""
    command = program()
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # a worker started by root has rights of its own
        port = _free_port()
        url = f"http://127.0.0.1:{port}"
        large = _files(folder / "files", url, side)
        log = folder / "access.log"
        config = folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(folder=folder, port=port, log=f"{log} wire" if logged else "off"), encoding="utf-8"
        )
        start = [command, "-p", name, "-c", str(config), "-e", str(folder / "error.log")]
        with subprocess.Popen(start, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            try:
                _await(port, process)
                yield Nginx(url, log, large)
            finally:
                process.terminate()


def _files(folder: Path, url: str, side: int) -> int:
    """Write the answers; return the size of the large image."""
    folder.mkdir()
    image = picture(side=side)
    (folder / "large.png").write_bytes(image)
    documents = {
        "small": {"b64_json": base64.b64encode(small_picture()).decode()},
        "large": {"b64_json": base64.b64encode(image).decode()},
        "url": {"url": f"{url}/files/large.png"},
    }
    for name, item in documents.items():
        usage = {"input_tokens": 20, "output_tokens": 1056, "total_tokens": 1076}
        document = {"created": 1_760_000_000, "data": [item], "usage": usage}
        (folder / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "chat.json").write_text(json.dumps(_chat(documents["small"]["b64_json"])), encoding="utf-8")
    return len(image)


def _chat(text: str) -> dict[str, object]:
    """Return the small image as the text of a chat, for programs that know no images."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 1056, "total_tokens": 1076},
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            assert process.stderr is not None
            raise RuntimeError(f"nginx did not start: {process.stderr.read().decode(errors='replace')[-500:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("nginx does not accept connections")
