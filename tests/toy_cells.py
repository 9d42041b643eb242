"""Toy measures for the tests of sweeps, in a file that any process can import."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import xarray as xr
from threadpoolctl import threadpool_info

from analysis.sweep import run as sweep
from analysis.sweep.study import Study
from models import run_open_questions
from studies.catalogue import STUDIES
from studies.training_run import pooled_images

SLOWLY = "TOY_CELLS_SLOWLY"


def product(seed: int, gamma: float, seconds: float = 0.0, log: str | None = None) -> xr.Dataset:
    """Sums of products and solutions of 300 x 300 matrices, which depend on the number of threads.

    Parameters
    ----------
    seconds : how long it takes longer in a process with `SLOWLY` in its environment
    log : folder in which a file for every call says which process measured what, and when
    """
    matrix = _matrix(seed)
    if SLOWLY in os.environ:
        time.sleep(seconds)
    solved = scipy.linalg.lu_solve(scipy.linalg.lu_factor(matrix), gamma * (matrix @ matrix))
    if log is not None:
        line = f"{os.getpid()} {seed} {gamma} {_matrix.cache_info().hits}"
        (Path(log) / f"{time.time_ns()}-{os.getpid()}").write_text(line)
    return xr.Dataset(
        {
            "sum": ("layer", np.cumsum(solved.ravel())[:: 90000 // 3]),
            "norm": float(np.linalg.norm(solved)),
            "count": ("layer", np.arange(3)),
            "threads": max(pool["num_threads"] for pool in threadpool_info()),
            "word": "even" if seed % 2 == 0 else "",
            "status": "converged",
        },
        coords={"layer": np.arange(1, 4)},
    )


@lru_cache(maxsize=1)
def _matrix(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((300, 300))


def uneven(depth: int, rules: str | None, flag: bool = True) -> xr.Dataset:
    """A result with as many layers as `depth` and the rules of a list."""
    names = (rules or "TP").split()
    values = 10.0 * np.arange(1, depth + 1)[:, None] + np.arange(len(names))
    return xr.Dataset(
        {
            "value": (("layer", "rule"), values),
            "name": ("rule", np.array([name.lower() for name in names])),
            "holds": flag,
            "big": 2**40 + depth,
            "status": "converged",
        },
        coords={"layer": np.arange(1, depth + 1), "rule": names},
    )


def labelled(labels: str) -> xr.Dataset:
    """Ten times its label in each of the layers that are named."""
    layers = np.array([int(word) for word in labels.split()])
    variables = {"value": ("layer", 10.0 * layers), "status": "converged"}
    return xr.Dataset(variables, coords={"layer": layers})


def fragile(what: str, **_: object) -> xr.Dataset:
    """Goes wrong in the way that `what` says."""
    if what == "raise":
        raise ArithmeticError("no equilibrium\nat all")
    if what == "exit":
        raise SystemExit(3)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "kill when stored":
        _die_when_stored()
    if what == "no status":
        return xr.Dataset({"value": 1.0})
    if what == "complex":
        return xr.Dataset({"value": 1j, "status": "converged"})
    if what == "clash":
        return xr.Dataset({"what": 1.0, "status": "converged"})
    if what == "none":
        return None
    return xr.Dataset({"value": 1.0, "status": "converged"})


def _die_when_stored() -> None:
    """Let this process die the moment a result is on disk, before what stands beside it is gone."""
    store = sweep.store

    def store_and_die(*rest: Any) -> None:
        store(*rest)
        os.kill(os.getpid(), signal.SIGKILL)

    sweep.store = store_and_die


def thief(order: int, victim: str) -> xr.Dataset:
    """The second of two cells takes away what the first has stored."""
    if order == 2:
        for path in Path(victim).glob("*.nc"):
            path.unlink()
    return xr.Dataset({"status": "converged"})


def variable(name: str) -> str | None:
    """A variable of the environment of the process that calls this."""
    return os.environ.get(name)


def brightness(dataset: str, data_dir: str | None, weights: str | None, times: int) -> xr.Dataset:
    """So many times the mean pixel of the training images."""
    pixels = pooled_images(dataset, data_dir)[0].inputs
    return xr.Dataset({"value": times * float(np.mean(pixels)), "status": "converged"})


def as_json(cell: dict) -> str:
    """The parameters of a cell as they always stood in its key."""
    return json.dumps(cell, sort_keys=True)


def questions() -> list[str]:
    """The studies of the open questions."""
    return list(run_open_questions.QUESTIONS)


def study_called(name: str) -> Callable[..., Study]:
    """The function that lists the cells of a study of `studies`."""
    found: Callable[..., Study] = STUDIES[name].door("study").study
    return found
