"""Addresses that answer, refuse, keep silent or are looked up for ever."""

from __future__ import annotations

import http.server
import socket
import threading
import time

import pytest

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


def test_a_download_that_stalls_ends_and_the_program_keeps_its_own_limit(monkeypatch):
    monkeypatch.setattr(network, "_STALLED", 0.2)
    before = socket.getdefaulttimeout()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(TimeoutError), network.download_timeout():
            socket.create_connection(silent.getsockname()).recv(1)
    assert socket.getdefaulttimeout() == before
