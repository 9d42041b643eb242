"""The processes that measure cells: some of this machine, or those of a Dask scheduler.

Owns how they are started, reached and ended, and who may reach them. The one file that imports
Dask.

Whoever can talk to a scheduler or worker of Dask can run code as its user. What is started here
therefore listens on the loopback interface alone, and only to those who hold a certificate that is
made for the one run and kept in memory (TLS): other users of the machine reach the port and are
turned away.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from analysis.sweep.starting import beginning
from analysis.sweep.threads import environment
from circuit.errors import CircuitError

# a terminal sends Ctrl-C to all processes, but it is for `run` to end the others
DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
SILENT = logging.CRITICAL + 1
ANSWER = 10.0  # seconds that a scheduler may take to answer

_certificates: dict[str, Any] = {}  # address of a cluster started here -> what opens it


def configured(**settings: Any) -> Any:
    """Dask with other settings until the end of the block."""
    import dask

    return dask.config.set(**settings)


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """Processes on this machine, for several `run`s one after another.

        with local_cluster(2) as address:
            run(first, folder, scheduler=address)
            run(second, folder, scheduler=address)

    They end with the block, and also when this process is killed. Only this process can give them
    work.

    Yields
    ------
    str
        The address of the scheduler, on the loopback interface.
    """
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.scheduler.worker-saturation": 1.0,  # who waits for a worker is not sent to one
        # no worker sheds data or pauses: what a worker keeps is not Dask's and would not come back
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        # Dask's own makes malloc fetch every larger array from the system anew: 1.8 times the time
        "distributed.nanny.pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": None},
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with environment(), dask.config.set(settings), ExitStack() as stack:
        with interrupt_deferred(), beginning(workers):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # a server listens even without a dashboard
                scheduler_kwargs={"dashboard": False},
                silence_logs=SILENT,
                preload=[DEAF],
                security=True,
            )
            stack.callback(_close, cluster)
        address = str(cluster.scheduler_address)
        _certificates[address] = cluster.security
        stack.callback(_certificates.pop, address)
        yield address


def _close(cluster: Any) -> None:
    # on a busy machine workers may be slow to leave; they do so at the latest with this process,
    # and what they have measured is on disk
    with suppress(TimeoutError):
        cluster.close()


@contextmanager
def interrupt_deferred() -> Iterator[None]:
    """Ctrl-C waits for the end of the block: Dask cannot be stopped while it starts.

    Where it is ignored (as in the background of a shell script) it is ignored here too, and a
    handler that is not Python's is left alone.
    """
    elsewhere = threading.current_thread() is not threading.main_thread()
    if elsewhere or signal.getsignal(signal.SIGINT) in {signal.SIG_IGN, None}:
        yield
        return
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if seen:
            raise KeyboardInterrupt from None


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the scheduler at `address`, which says nothing of what goes wrong.

    Raises
    ------
    CircuitError
        Where no scheduler answers there in time, or the connection is lost within the block.
    """
    from distributed import CancelledError, Client

    with silent_logs():
        security = _certificates.get(address)
        _require_scheduler(address, security)
        try:
            client = Client(address, timeout=ANSWER, set_as_default=False, security=security)
        except (OSError, ValueError) as error:
            raise _unanswered(address, error) from None
        try:
            with client, client.as_current():
                yield client
        except CancelledError:
            raise CircuitError(
                f"the connection to the scheduler at {address} was lost; run again to go on"
            ) from None


def _require_scheduler(address: str, security: Any) -> None:
    """Raise `CircuitError` unless a scheduler answers; Dask's client waits for one that is silent.

    In a thread, since this one may run a loop of its own.
    """
    troubles: list[BaseException] = []

    def ask() -> None:
        try:
            asyncio.run(_asked(address, security))
        except BaseException as error:
            troubles.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2 * ANSWER)
    if asking.is_alive():
        raise _unanswered(address, TimeoutError("no answer, and no end of asking"))
    for error in troubles:  # another protocol, or none, can mislead Dask into any exception
        raise _unanswered(address, error)


def _unanswered(address: str, error: BaseException) -> CircuitError:
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return CircuitError(
        f"no Dask scheduler answers at {address} ({words}); start one with `dask scheduler`, or "
        "leave the address out to use this machine"
    )


async def _asked(address: str, security: Any) -> None:
    from distributed import rpc
    from distributed.security import Security

    opening = (security or Security()).get_connection_args("client")
    async with asyncio.timeout(ANSWER):
        async with rpc(address, connection_args=opening, timeout=ANSWER) as scheduler:
            known = await scheduler.identity()
    if known.get("type") != "Scheduler":
        raise ValueError(f"it is a {known.get('type')}")


@contextmanager
def silent_logs() -> Iterator[None]:
    """What goes wrong is said once, in one line, and not by Dask in fifty."""
    names = ("distributed", "distributed.client", "distributed.core", "distributed.comm.tcp")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(SILENT)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
