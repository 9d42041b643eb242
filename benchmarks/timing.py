"""Stopwatches: contestants that take turns, processes of their own, peak memory.

A machine is never equally fast for long. So contestants are not timed one after the other: in each
round every one of them runs once, and two are compared by the median, over rounds, of the ratio of
their times in the same round.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
import tracemalloc
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Name = TypeVar("Name", bound=Hashable)
Turn = Callable[[], float]  # runs a contestant once and returns the seconds that it took


@dataclass(frozen=True)
class RoundTimes:
    """Seconds of a contestant, one for each round in which it took part."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over rounds."""
        return statistics.median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Lower and upper quartile over rounds: the spread."""
        return _quartiles(self.seconds)

    def ratio_to(self, base: RoundTimes) -> RoundTimes:
        """Round by round, the time of this contestant over that of `base`."""
        return RoundTimes(tuple(a / b for a, b in zip(self.seconds, base.seconds, strict=False)))


def _quartiles(values: tuple[float, ...]) -> tuple[float, float]:
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def timed(function: Callable[[], object]) -> Turn:
    """A turn that calls `function` in this process."""

    def turn() -> float:
        began = time.perf_counter()
        function()
        return time.perf_counter() - began

    return turn


def take_turns(
    contestants: Mapping[Name, Turn], rounds: int, *, limit: float = float("inf")
) -> dict[Name, RoundTimes]:
    """Let every contestant run once per round, after one run each that does not count.

    Parameters
    ----------
    rounds : how many
    limit
        Seconds after which a contestant sits out the rounds that are left. One whose first run
        alone takes longer is not run again: that run counts.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in contestants}
    spent = {name: turn() for name, turn in contestants.items()}
    for name, first in spent.items():
        if first > limit:
            seconds[name].append(first)
    for _ in range(rounds):
        for name, turn in contestants.items():
            if spent[name] <= limit:
                seconds[name].append(turn())
                spent[name] += seconds[name][-1]
    return {name: RoundTimes(tuple(values)) for name, values in seconds.items()}


PAUSE = 0.4  # seconds before the turn of a process


class Worker:
    """A contestant in a process of its own, so that no thread pool gets in another's way.

    Parameters
    ----------
    prepare
        Called in the new process as `prepare(*arguments)`. Returns the function to time, and facts
        about it that can be pickled. An ImportError there counts as "not installed".
    """

    def __init__(self, prepare: Callable[..., tuple[Callable[[], object], Any]], *arguments: Any):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, prepare, arguments), daemon=True
        )
        self._process.start()
        theirs.close()
        self.facts, self.failure = self._receive()

    def _receive(self) -> tuple[Any, str | None]:
        try:
            return self._pipe.recv()
        except EOFError:
            return None, "its process died"

    def turn(self) -> float:
        """Run once; the seconds are those of the worker's own clock.

        After a pause: the threads of a BLAS pool wait for work by spinning for a tenth of a second,
        and those of the process whose turn it was before would take a core from this one.
        """
        time.sleep(PAUSE)
        self._pipe.send("run")
        seconds, failure = self._receive()
        if failure is not None:
            raise RuntimeError(failure)
        return seconds

    def stop(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()


def beside_each_other(
    contestants: Mapping[Name, tuple[Any, ...]], rounds: int
) -> tuple[dict[Name, RoundTimes], dict[Name, Any]]:
    """Contestants in turns, each in a process of its own; their times, and the facts of each.

    Parameters
    ----------
    contestants : name -> what `Worker` is made with

    Raises
    ------
    RuntimeError
        Naming the contestant that could not be prepared.
    """
    workers: dict[Name, Worker] = {}
    try:
        for name, made_with in contestants.items():
            workers[name] = worker = Worker(*made_with)
            if worker.failure is not None:
                words = ", ".join(name) if isinstance(name, tuple) else name
                raise RuntimeError(f"{words}: {worker.failure}")
        timings = take_turns({name: one.turn for name, one in workers.items()}, rounds)
    finally:
        for worker in workers.values():
            worker.stop()
    return timings, {name: worker.facts for name, worker in workers.items()}


def _serve(pipe: Any, prepare: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        run, facts = prepare(*arguments)
    except ImportError as error:
        pipe.send((None, f"not installed ({error.name or error})"))
        return
    except Exception as error:
        pipe.send((None, f"failed: {type(error).__name__}: {str(error).splitlines()[0]}"))
        return
    pipe.send((facts, None))
    turn = timed(run)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send((turn(), None))


def peak_memory(function: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
    """Peak bytes of Python and NumPy memory while `function(*arguments)` runs, and its result.

    In a process of its own. What was imported before does not count.
    """
    worker = Worker(_measure_memory, function, arguments)
    worker.stop()
    if worker.failure is not None:
        raise RuntimeError(worker.failure)
    return worker.facts


def _measure_memory(
    function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[Callable[[], object], tuple[int, Any]]:
    tracemalloc.start()
    result = function(*arguments)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (lambda: None), (peak, result)
