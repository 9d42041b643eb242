"""Reaching a scheduler: whatever listens there is refused in one line, and nobody else gets in."""

from __future__ import annotations

import gc
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from analysis import cluster
from analysis.cluster import connected, local_cluster
from circuit.errors import CircuitError
from tests import toy_cells


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A port where every caller is given `answer`, or with None is let wait."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                caller.sendall(answer)
                caller.close()

        if answer is not None:
            threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # Dask leaves such to be collected
@pytest.mark.parametrize("scheme", ["tcp", "tls", "ucx", "ws", "wss", "http", "inproc"])
@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_what_is_no_scheduler_is_refused_in_one_line(monkeypatch, capfd, scheme, answer):
    """Silent, talking of something else, or hanging up; by every scheme that Dask knows or not."""
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    with listening(answer) as port:
        address = f"{scheme}://127.0.0.1:{port}"
        with pytest.raises(CircuitError) as refused, connected(address):
            pass
    assert f"no Dask scheduler answers at {address}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""
    del refused
    gc.collect()


@pytest.mark.parametrize("address", ["", "tcp://", "tcp://[::1", "tcp://\0", "a" * 300])
def test_what_is_no_address_is_refused_in_one_line(monkeypatch, address):
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    with pytest.raises(CircuitError, match="no Dask scheduler answers") as refused:
        connected(address).__enter__()
    assert "\n" not in str(refused.value)


STRANGER = """
import asyncio, sys
from distributed import rpc
async def ask():
    async with rpc(sys.argv[1]) as other:
        await other.identity()
asyncio.run(ask())
"""


def test_nobody_without_the_certificate_can_give_work():
    """Neither in plain text nor encrypted without one; every port is on the loopback interface."""

    def plainly(address: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", STRANGER, address], capture_output=True, text=True, check=False
        )

    def greeted(address: str) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        host, port = address.rsplit("/", 1)[-1].rsplit(":", 1)
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            context.wrap_socket(plain) as secured,
        ):
            return secured.recv(1)

    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with local_cluster(1) as address:
        with connected(address) as client:
            assert client.submit(toy_cells.variable, "OMP_NUM_THREADS").result() == "1"
            addresses = [address, *client.nthreads()]
        started = [
            process
            for process in psutil.Process().children(recursive=True)
            if process.pid not in before
        ]
        ports = [
            port
            for process in [psutil.Process(), *started]
            for port in process.net_connections("inet")
            if port.status == psutil.CONN_LISTEN
        ]
        assert len(addresses) == 2 and len(ports) >= 3
        assert {port.laddr.ip for port in ports} == {"127.0.0.1"}
        for one in addresses:
            assert one.startswith("tls://127.0.0.1:")
            turned_away = plainly(one.replace("tls://", "tcp://"))
            assert turned_away.returncode == 1
            assert "CommClosedError" in turned_away.stderr
            with pytest.raises(ssl.SSLError, match="(?i)certificate"):
                greeted(one)
        foreign = cluster._certificates.pop(address)
        with pytest.raises(CircuitError, match="no Dask scheduler answers at tls"):
            connected(address).__enter__()
        cluster._certificates[address] = foreign
    assert address not in cluster._certificates
