"""Addresses that answer, refuse, keep silent or are looked up for ever."""

from __future__ import annotations

import http.server
import socket
import threading
import time

from mmdgan.core import network


def test_an_address_that_does_not_answer(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert "refused" in network.unreachable(address)
        silent.listen()
        start = time.monotonic()
        assert network.unreachable(address, 0.3)
        assert time.monotonic() - start < 2


def test_a_name_that_is_looked_up_for_ever(monkeypatch):
    over = threading.Event()

    def look_up(request, timeout):
        over.wait(5)
        raise OSError("given up")

    monkeypatch.setattr(network.urllib.request, "urlopen", look_up)
    start = time.monotonic()
    assert network.unreachable("http://example.org/", 0.2) == "no answer within 0.2 seconds"
    assert time.monotonic() - start < 2
    over.set()


def test_an_address_that_answers(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert network.unreachable(f"http://127.0.0.1:{server.server_port}/") is None  # answers "501"
