"""What other libraries need for the same circuit: diffrax, optimistix, torchdeq, Brian2.

Owns how each of them is set up and tuned, so that it has the best chance that we know of: equations
in shift coordinates and compiled (`benchmarks.field`), inverse weights, forward pass and
compilation outside of the time, its own settings tried one by one and the fastest kept of those
that reach the accuracy. The two that run in JAX are in `benchmarks.others_jax`.

A `prepare_*` function runs in a process of its own (`timing.Worker`), imports its library there,
and returns the function to time and a `Facts`. A `Recipe` is pickled, a network is not.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

from benchmarks import field as equations
from benchmarks.circuits import TOLERANCE, problem, residuals
from benchmarks.field import State, make_field
from circuit.shifts import Shifts
from circuit.trial import Trial

Recipe = tuple[int, int, int, str]  # width, depth, batch and pathway, as `circuits.problem` takes
FLOOR_SLACK = 64  # rounding adds up over the products of a step; as in `circuit.methods.brian2`
Solve = Callable[[], tuple[State, Any]]  # -> the state and how many steps it took
Candidates = Iterator[tuple[str, Callable[[], Solve]]]


@dataclass(frozen=True)
class Facts:
    """What a contestant reached, and with which of its settings.

    Attributes
    ----------
    residuals : the worst sample's relative residual in each layer
    reached : whether all are below the accuracy asked for
    steps : its own count
    setting : what was chosen
    tried : how many settings were tried
    """

    residuals: tuple[float, ...]
    reached: bool
    steps: int
    setting: str
    tried: int = 1


def missing(*modules: str) -> str | None:
    """The first of `modules` that is not installed."""
    return next((name for name in modules if importlib.util.find_spec(name) is None), None)


def tune(
    candidates: Candidates, shifts: Callable[[State], Shifts], trial: Trial
) -> tuple[Solve, Facts]:
    """The fastest candidate whose result is accurate enough; the most accurate one if none is.

    One that cannot be set up or fails is passed over.
    """
    best, failures, tried = None, [], 0
    for setting, build in candidates:
        tried += 1
        try:
            solve = build()
            began = time.perf_counter()
            state, steps = solve()
            seconds = time.perf_counter() - began
            found = residuals(trial, shifts(state))
        except Exception as error:  # whatever another library may raise
            failures.append(f"{setting}: {type(error).__name__}")
            continue
        worst = max(found)
        reached = worst <= TOLERANCE
        rank = (not reached, seconds if reached else worst)
        if best is None or rank < best[0]:
            best = (rank, solve, Facts(found, reached, int(steps), setting))
    if best is None:
        raise RuntimeError("; ".join(failures))
    _, solve, facts = best
    return solve, Facts(facts.residuals, facts.reached, facts.steps, facts.setting, tried)


def prepare_settle(recipe: Recipe) -> tuple[Callable[[], object], Facts]:
    """Our default method, from raw inputs to a judged record."""
    from circuit.equilibrium import settle

    circuit = problem(*recipe)

    def run() -> Any:
        return settle(circuit.begin(), tolerance=TOLERANCE)

    record = run()
    facts = Facts(record.relative_residuals, record.converged, record.steps, "default")
    return run, facts


# --- PyTorch ---


def prepare_torchdeq(recipe: Recipe, thorough: bool) -> tuple[Callable[[], object], Facts]:
    """Anderson acceleration; history, damping and tolerance tried one by one."""
    import torch
    from torchdeq import get_deq

    trial = problem(*recipe).begin()
    field = make_field(trial, torch, torch.asarray)
    widths = list(trial.network.widths[1:])
    start = torch.zeros(trial.error.shape[0], sum(widths), dtype=torch.float64)

    def image(flat: Any) -> Any:
        return flat - torch.cat(equations.residual(field, torch.split(flat, widths, dim=1)), 1)

    def build(tolerance: float, options: dict[str, float]) -> Solve:
        solver = get_deq(
            f_solver="anderson", f_max_iter=100, f_tol=tolerance, f_stop_mode="rel"
        ).eval()

        def solve() -> tuple[State, Any]:
            with torch.no_grad():
                found, info = solver(image, start, solver_kwargs=options)
            return torch.split(found[-1], widths, dim=1), info["nstep"].max()

        return solve

    def candidates() -> Candidates:
        for history in (2, 3, 4, 6) if thorough else (2,):
            for damping in (1.0, 0.9) if thorough else (1.0,):
                for tolerance in (1e-9, 1e-10, 1e-11) if thorough else (1e-11,):
                    # its regularisation of 1e-4 would swamp residuals of 1e-10
                    options = {"m": history, "tau": damping, "lam": 1e-28}
                    yield (
                        f"history {history}, damping {damping}, tolerance {tolerance:g}",
                        lambda t=tolerance, o=options: build(t, o),
                    )

    return tune(candidates(), field.shifts, trial)


# --- Brian2 ---


def prepare_brian2(recipe: Recipe, codegen: str) -> tuple[Callable[[], object], Facts]:
    """Explicit synapses, from the forward pass to the floor that float64 sets for rates.

    The free phase, which Brian2 needs to find its own state of rest, is not counted. A time
    constant is the longest Euler step that `circuit.brian` takes; shorter ones are tried only if
    it does not reach the accuracy.
    """
    absent = missing("brian2")
    if absent:
        raise ImportError(f"No module named {absent}", name=absent)
    from circuit import brian

    trial = problem(*recipe).begin()
    natural, tau = trial.at_rest(), min(trial.circuit.time_constants)

    def nudged_phase(built: Any, free: Any, steps: int) -> None:
        brian.set_rates(built.pieces, free)
        brian.set_nudge(built.pieces, True)
        brian.advance(built, steps)

    def measure(built: Any, free: Any) -> tuple[tuple[float, ...], bool]:
        triples = zip(brian.read_rates(built.pieces), free, natural.scales, strict=True)
        values = tuple((after - before) / scale.value for after, before, scale in triples)
        shifts = natural.with_values(values)
        found, floors = residuals(trial, shifts), brian.float_floor(trial, shifts)
        limits = (max(TOLERANCE, FLOOR_SLACK * floor) for floor in floors)
        pairs = zip(found, limits, strict=True)
        # while a layer has not moved yet, both are infinite
        return found, all(value <= limit and isfinite(value) for value, limit in pairs)

    for fraction in (1.0, 0.5, 0.25):
        built = brian.build(trial, step=fraction * tau, record=0, codegen=codegen)
        brian.set_rates(built.pieces, trial.activity.rates[1:])
        brian.set_nudge(built.pieces, False)
        brian.advance(built, round((trial.network.depth + 5) / fraction))
        free, count, reached = brian.read_rates(built.pieces), 1, False
        nudged_phase(built, free, count)
        found, reached = measure(built, free)
        while not reached and count < 120 / fraction:
            brian.advance(built, 1)
            count += 1
            found, reached = measure(built, free)
        if reached:
            break
    facts = Facts(found, reached, count, f"Euler steps of {fraction:g} tau, {codegen}")
    return partial(nudged_phase, built, free, count), facts
