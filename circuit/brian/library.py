"""Brian2 itself: its import, which leaves the process alone, and what it asks of everybody.

The only file that imports Brian2; the others of this package take it from here. Owns what their
runs share: quiet objects, names, seconds, code, the steps and the seed.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from circuit.checks.given import generator_of, real, require_choice, require_count
from circuit.errors import CircuitError


@contextlib.contextmanager
def _process_left_alone() -> Iterator[None]:
    """Take back what the first import of Brian2 does to a process.

    It hangs itself into Ctrl+C (a run then stops early, and nobody is told), uncaught exceptions (a
    request to report a bug in Brian2) and warnings, and writes a log file and a copy of the running
    script to the temporary folder. Where Brian2 was imported before, nothing is touched; where its
    preferences ask for the log to be kept (logging.delete_log_on_exit = False), the log stays.
    """
    if "brian2" in sys.modules:
        yield
        return
    hook, interrupt, show = sys.excepthook, signal.getsignal(signal.SIGINT), warnings.showwarning
    install = signal.signal
    if threading.current_thread() is not threading.main_thread():
        # workers of Dask run their tasks in such a thread, where no handler can be set; Brian2's
        # would be taken back anyway
        signal.signal, interrupt = lambda *_: None, None
    # Brian2 writes the command line into its copy of the script, which fails for what is not UTF-8
    words, sys.argv = sys.argv, [""]
    try:
        yield
    finally:
        signal.signal, sys.argv = install, words
    sys.excepthook = hook
    if interrupt is not None:  # None: set by other than Python, and no way to set it again
        signal.signal(signal.SIGINT, interrupt)
    if warnings.showwarning is not show:
        logging.captureWarnings(False)
    log = brian2.BrianLogger
    if brian2.prefs["logging.delete_log_on_exit"]:
        if log.file_handler is not None:
            logging.getLogger("brian2").removeHandler(log.file_handler)
            log.file_handler.close()
        for path in (log.tmp_log, log.tmp_script):
            if path is not None:
                with contextlib.suppress(OSError):
                    os.remove(path)
        log.file_handler = log.tmp_log = log.tmp_script = None


with _process_left_alone():
    import brian2
    import brian2.codegen.runtime as targets
    from brian2.devices.device import runtime_device


class _Quiet:
    """What was never in a network goes without a word: where a model fails before it has one,
    Brian2 would warn of every group and synapse, a page in all.
    """

    def __del__(self) -> None:
        pass


class QuietGroup(_Quiet, brian2.NeuronGroup):
    """A `NeuronGroup`."""


class QuietSynapses(_Quiet, brian2.Synapses):
    """`Synapses`."""


def in_seconds(value: float | brian2.Quantity, name: str) -> float:
    """A time given in seconds or as a Brian2 quantity, as a number. Raises `CircuitError`."""
    return real(name, value, seconds=1)


def require_name(name: str) -> None:
    """Raise `CircuitError` unless the names of Brian2's objects can begin so."""
    if not (isinstance(name, str) and name.isascii() and name.isidentifier()):
        raise CircuitError(
            f"name {name!r} cannot begin a Brian2 name; use letters of ASCII, digits and _"
        )


def code_class(codegen: str) -> Any:
    """The `codeobj_class` of "numpy" or "cython"; None on a standalone device, which has its own.

    Raises `CircuitError`.
    """
    require_choice("codegen", codegen, ("numpy", "cython"))
    if not at_runtime():
        if codegen != "numpy":
            raise CircuitError(
                f"codegen {codegen} does nothing on a standalone device, which writes C++; leave "
                "it out, or call brian2.set_device('runtime')"
            )
        return None
    if codegen == "numpy":
        return targets.NumpyCodeObject
    if not targets.CythonCodeObject.is_available():
        raise CircuitError("codegen cython found no working compiler; use codegen numpy")
    return targets.CythonCodeObject


def at_runtime() -> bool:
    """Whether Brian2 runs what it is given at once, and writes no code to be run later."""
    return brian2.get_device() is runtime_device


def require_runtime() -> None:
    """Raise `CircuitError` where Brian2 would only write code to be run later."""
    if not at_runtime():
        raise CircuitError(
            "Brian2 is set to a standalone device, which runs nothing before it is built; call "
            "brian2.set_device('runtime') first, or put make_pieces into a Network of your own"
        )


@contextlib.contextmanager
def seeded(generator: np.random.Generator | None) -> Iterator[None]:
    """Brian2 draws from NumPy's global state: seed it from `generator`, and put it back after."""
    if generator is None:
        yield
        return
    generator = generator_of("generator", generator)
    state = runtime_device.get_random_state()
    brian2.seed(int(generator.integers(2**32)))
    try:
        yield
    finally:
        runtime_device.set_random_state(state)


def run_steps(network: brian2.Network, clock: brian2.Clock, steps: int) -> None:
    """Run a network for so many steps of a clock.

    Raises
    ------
    CircuitError
        For what is not a number of steps, and as `require_runtime`.
    KeyboardInterrupt
        Where the run was stopped: Brian2, where a user imported it first, takes Ctrl+C for a wish
        to stop early.
    """
    require_count("steps", steps, 0)
    if steps == 0:
        return
    require_runtime()
    length = clock.dt_
    end = round(float(network.t_) / length) + steps
    # What is not finite is found afterwards. Brian2 writes, at every call of a function such as
    # log1p, an error message with the array in it, in case it should need it: for up to 1000
    # entries that takes longer than the step itself, unless arrays are abbreviated, and their ends
    # written without a search for a common form.
    brief: Any = {"threshold": 1, "edgeitems": 1, "formatter": {"float_kind": str}}
    with np.errstate(all="ignore"), np.printoptions(**brief), _unsearched():
        network.run(steps * length * brian2.second, namespace={})
    if round(float(network.t_) / length) < end:
        raise KeyboardInterrupt("Brian2 was stopped before the last step")


_SET_APART: list[bool] = []  # not empty once somebody else has been seen to do so


@contextlib.contextmanager
def _unsearched() -> Iterator[None]:
    """Keep what is there from the search for garbage with which every run of Brian2 begins.

    It takes a tenth of a second and more in a process that has much loaded. Where somebody else
    has set objects apart, as a server may before it forks, nothing is touched, then or later:
    counting them takes as long as the search.
    """
    if not _SET_APART and gc.get_freeze_count():
        _SET_APART.append(True)
    if _SET_APART:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def unsaid(name: str) -> Iterator[None]:
    """Keep Brian2's logger of this name from warning."""
    said = logging.getLogger(name)
    before = said.level
    said.setLevel(logging.ERROR)
    try:
        yield
    finally:
        said.setLevel(before)


def divergence_unsaid() -> contextlib.AbstractContextManager[None]:
    """Keep Brian2 from warning of what is no longer finite, where the caller reports that."""
    return unsaid("brian2.groups.group")
