"""The same circuit in JAX: diffrax and optimistix. See `benchmarks.others`.

Owns how these two are set up and tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import field as equations
from benchmarks.circuits import TOLERANCE, problem
from benchmarks.field import FieldConstants, State, make_field
from benchmarks.others import Candidates, Facts, Recipe, Solve, tune
from circuit.shifts import Shifts
from circuit.trial import Trial

LONGEST = 200.0  # time constants that an integrator may take


def _jax_field(recipe: Recipe) -> tuple[Trial, FieldConstants, Callable[[Callable], Solve]]:
    import jax

    jax.config.update("jax_enable_x64", True)
    trial = problem(*recipe).begin()
    field = make_field(trial, jax.numpy, jax.numpy.asarray)
    start = tuple(jax.numpy.asarray(values) for values in field.start.values)

    def compiled(function: Callable[[State], Any]) -> Solve:
        ready = jax.jit(function).lower(start).compile()
        return lambda: jax.block_until_ready(ready(start))

    return trial, field, compiled


def prepare_diffrax(
    recipe: Recipe, controller: str, thorough: bool
) -> tuple[Callable[[], object], Facts]:
    """Dopri5 until the steady state, from the forward pass on.

    Parameters
    ----------
    controller
        "constant": steps of one length around the limit of stability, stopped by our own ruler.
        "adaptive": error control and diffrax's own steady-state event, as in its documentation.
    """
    import diffrax
    import jax

    trial, field, compiled = _jax_field(recipe)
    term = diffrax.ODETerm(lambda t, y, args: tuple(-r for r in equations.residual(field, y)))

    def settled(t: Any, y: State, args: Any, **_: Any) -> Any:
        # a little below, since this ruler and the project's round differently
        return equations.worst_ratio(field, y, equations.residual(field, y)) <= 0.9 * TOLERANCE

    def build(first: float | None, steps: Any, event: Any) -> Solve:
        def solve(start: State) -> tuple[State, Any]:
            solution = diffrax.diffeqsolve(
                term,
                diffrax.Dopri5(),
                0.0,
                LONGEST,
                first,
                start,
                stepsize_controller=steps,
                event=diffrax.Event(event),
                max_steps=2000,
                throw=False,
            )
            last = jax.tree_util.tree_map(lambda values: values[0], solution.ys)
            return last, solution.stats["num_steps"]

        return compiled(solve)

    def candidates() -> Candidates:
        if controller == "constant":
            for step in (1.5, 1.75, 2.0, 2.25) if thorough else (2.0,):
                yield (
                    f"steps of {step} tau",
                    lambda step=step: build(step, diffrax.ConstantStepSize(), settled),
                )
            return
        for tolerance in (1e-10, 1e-12) if thorough else (1e-12,):
            steps = diffrax.PIDController(rtol=tolerance, atol=tolerance)
            yield (
                f"tolerance {tolerance:g}",
                lambda steps=steps: build(None, steps, diffrax.steady_state_event()),
            )

    return tune(candidates(), field.shifts, trial)


def prepare_optimistix(recipe: Recipe, thorough: bool) -> tuple[Callable[[], object], Facts]:
    """The fastest of optimistix's fixed-point and root finders that never form a Jacobian.

    Left out after a trial: Dogleg and LevenbergMarquardt, which need the transposed Jacobian (9 and
    22 s where FixedPointIteration took 0.3 s, and short of the accuracy), and Chord, which does not
    compile around a linear solver without a matrix.
    """
    import lineax
    import optimistix

    trial, field, compiled = _jax_field(recipe)

    def image(state: State, _: Any) -> State:
        pairs = zip(state, equations.residual(field, state), strict=True)
        return tuple(d - r for d, r in pairs)

    def build(finder: Any) -> Solve:
        def solve(start: State) -> tuple[State, Any]:
            if isinstance(finder, optimistix.AbstractFixedPointSolver):
                found = optimistix.fixed_point(image, finder, start, max_steps=500, throw=False)
            else:
                found = optimistix.root_find(
                    lambda state, _: equations.residual(field, state),
                    finder,
                    start,
                    max_steps=60,
                    throw=False,
                )
            return found.value, found.stats["num_steps"]

        return compiled(solve)

    def candidates() -> Candidates:
        for tolerance in (1e-9, 1e-10, 1e-11, 1e-12) if thorough else (1e-11,):
            finder = optimistix.FixedPointIteration(rtol=tolerance, atol=tolerance)
            yield f"FixedPointIteration, {tolerance:g}", lambda finder=finder: build(finder)
        if not thorough:
            return
        small = {"rtol": 1e-10, "atol": 1e-10}
        for forcing in (1e-3, 1e-6):
            linear = {"rtol": forcing, "atol": 1e-3 * forcing, "max_steps": 200}
            for finder, name in (
                (optimistix.Newton(**small, linear_solver=lineax.BiCGStab(**linear)), "BiCGStab"),
                (optimistix.Newton(**small, linear_solver=lineax.GMRES(**linear)), "GMRES"),
            ):
                yield f"Newton, {name} {forcing:g}", lambda finder=finder: build(finder)

    return tune(candidates(), field.shifts, trial)


def prepare_rates(recipe: Recipe) -> tuple[Callable[[], object], Facts]:
    """Dopri5 on the rates themselves, to see how far these go; to be compared, not to be timed."""
    import diffrax
    import jax

    trial, field, compiled = _jax_field(recipe)
    rest = tuple(jax.numpy.asarray(rates) for rates in trial.activity.rates[1:])
    term = diffrax.ODETerm(lambda t, y, args: equations.velocity(field, y))

    def solve(start: State) -> tuple[State, Any]:
        solution = diffrax.diffeqsolve(
            term,
            diffrax.Dopri5(),
            0.0,
            60.0,
            2.0,
            tuple(y + d for y, d in zip(rest, start, strict=True)),
            max_steps=2000,
        )
        last = jax.tree_util.tree_map(lambda values: values[0], solution.ys)
        return last, solution.stats["num_steps"]

    def shifts(state: State) -> Shifts:
        pairs = zip(state, rest, field.start.scales, strict=True)
        values = tuple(np.asarray(y - y0) / scale.value for y, y0, scale in pairs)
        return field.start.with_values(values)

    candidates = iter([("60 tau in steps of 2 tau", lambda: compiled(solve))])
    return tune(candidates, shifts, trial)
