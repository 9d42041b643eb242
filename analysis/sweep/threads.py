"""One thread for linear algebra, so that a result does not depend on how many cores there are.

Owns the limit. Sums are taken in another order when threads share them, and several processes whose
libraries have a thread for every core stand in each other's way.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import scipy.linalg  # noqa: F401  its BLAS must be there when threads are limited

from circuit.errors import CircuitError

ALONE = threading.Lock()
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra within uses one thread.

    One block at a time in this process: else one would lift its limit while another computes.
    Raises `CircuitError` where the limit cannot be had.
    """
    pools = _thread_pools(len(sys.modules))
    with ALONE, environment(), pools.limit(limits=1):
        if any(pool.num_threads != 1 for pool in pools.select(user_api="blas").lib_controllers):
            raise CircuitError(
                "another thread of this process holds the number of BLAS threads; call run outside "
                "its threadpool_limits"
            )
        yield


@contextmanager
def environment() -> Iterator[None]:
    """Libraries loaded within, and processes begun within, use one thread.

    The environment is put back at the end, whatever was changed in it.
    """
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(VARIABLES, "1"))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@lru_cache(maxsize=1)
def _thread_pools(n_modules: int) -> Any:
    """The thread pools of this process, searched for again only when modules have been imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
