"""Claims on the equilibrium: its closed form, and the two circuits.

Owns, for each, the settled circuit of the library, the explicit formula, and the bound between.
A settled state has a residual of up to the tolerance of every layer's shift; the bounds carry it,
and the rounding of the pull-backs, through the equations' own matrices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from mpmath.ctx_mp import MPContext

from analysis.derivation import rounding
from analysis.derivation.both_sides import LINEAR, PIECEWISE, compared
from analysis.derivation.claim import Check, ClaimPlan, worst
from analysis.derivation.literal import digits_for
from analysis.derivation.random_networks import Case, case, cases, shrunk, unequal
from analysis.derivation.rounding import EPS
from circuit.dynamics import begin, build_circuit, velocity
from circuit.equilibrium import settle
from circuit.numerics.arrays import Array
from circuit.outcome import Equilibrium
from circuit.shifts import Shifts
from circuit.trial import Trial

TOLERANCE = 1e-12  # asked of every residual; a hundred times what pull-backs round to
MOST_STEPS = 40  # a circuit that has not settled by then is left undecided
STRENGTHS = (1e-6, 0.01, 0.1, 0.5)


def as_given(outputs: Array, error: Array) -> Array:
    """The loss -y . e: its error is e itself, also one far below the rounding of the rates."""
    return error


def trial_of(found: Case, pathway: str) -> Trial:
    """The circuit of a case, with time constants of 1."""
    circuit = build_circuit(found.network, pathway, found.gammas, time_constant=1.0)
    return begin(circuit, found.inputs, found.error, as_given)


def settled(
    found: Case, pathway: str, methods: Sequence[str] = ("direct", "newton")
) -> Equilibrium | None:
    """The equilibrium, by Newton's method where the default finds none; None where neither does."""
    trial = trial_of(found, pathway)
    for method in methods:
        record = settle(
            trial, method, tolerance=TOLERANCE, max_steps=MOST_STEPS, must_converge=False
        )
        if record.converged:
            return record
    return None


def undecided(found: Case, why: str) -> Check:
    """A network of which the claim says nothing."""
    nan = math.nan
    return Check(found.subject, nan, nan, nan, math.inf, why)


def ruin(gammas: Sequence[float]) -> np.ndarray:
    """c_0 .. c_{L+1} of c_l = (1 - gamma_l) c_{l-1} + gamma_l c_{l+1}, c_0 = 0, c_{L+1} = 1.

    A dense solve with as many digits as the smallest of them swallows.
    """
    return _ruin(gammas).astype(float)


def _ruin(gammas: Sequence[float]) -> np.ndarray:
    context = MPContext()
    context.dps = digits_for(*gammas, *gammas)
    depth = len(gammas)
    matrix, right = context.zeros(depth), context.zeros(depth, 1)
    for row, gamma in enumerate(map(context.mpf, gammas)):
        matrix[row, row] = context.mpf(1)
        if row:
            matrix[row, row - 1] = gamma - 1
        if row < depth - 1:
            matrix[row, row + 1] = -gamma
        else:
            right[row] = gamma
    return np.array([context.zero, *context.lu_solve(matrix, right), context.one], dtype=object)


def printed_gain(gamma: float, layer: int, depth: int) -> float:
    """c_l = (q^l - 1)/(q^(L+1) - 1) with q = 1/gamma - 1, or l/(L+1) at gamma = 1/2."""
    if gamma == 0.5:
        return layer / (depth + 1)
    q = 1 / gamma - 1
    return (q**layer - 1) / (q ** (depth + 1) - 1)


def directions(found: Case, *, adjusted: bool) -> list[np.ndarray]:
    """(D_{l+1}^-1 ... D_L^-1) e, or with W^-1 A for D^-1 where `adjusted`, of layers 1 .. L."""
    network = found.network
    value = np.pad(found.error[0], (0, network.widths[-1] - network.n_outputs))
    values = [value]
    for layer in range(network.depth, 1, -1):
        slope = found.slopes[layer]
        sent = value * slope if adjusted else value / slope
        below = np.linalg.solve(network.weights[layer - 1], sent)
        value = np.pad(below, (0, network.widths[layer - 1] - len(below)))
        values.append(value)
    return values[::-1]


def per_unit(shifts: Shifts, layer: int, size: float) -> np.ndarray:
    """The shift of a layer divided by `size`, which may be as small as itself."""
    ratio = shifts.scales[layer - 1].value / size
    return np.asarray(shifts.values[layer - 1][0]) * ratio


def closed_form(plan: ClaimPlan) -> Iterator[Check]:
    """delta_l = c_l D_{l+1}^-1 ... D_L^-1 e with the printed c_l."""
    for found in cases(plan, PIECEWISE, STRENGTHS, wide=True):
        depth, gamma = found.network.depth, found.gammas[0]
        gains = [printed_gain(gamma, layer, depth) for layer in range(1, depth + 1)]
        yield _against_gains(found, gains)


def closed_form_unequal(plan: ClaimPlan) -> Iterator[Check]:
    """The same with another gamma in each layer and c_l from a dense solve; auxiliary units too."""
    for found in cases(plan, PIECEWISE, (0.1,), wide=True):
        depth, seed = found.network.depth, found.subject.seed
        gammas = unequal(depth, seed)
        subject = replace(found.subject, gamma=min(gammas))
        found = replace(found, gammas=gammas, subject=subject)
        yield _against_gains(found, ruin(gammas)[1:-1])
    for units, init in PIECEWISE:
        for seed in plan.seeds:
            widths, gammas = (14, 12, 9, 9, 6), unequal(4, seed)
            found = case(4, 12, units, init, gammas, seed, widths=widths, n_outputs=4)
            yield _against_gains(found, ruin(gammas)[1:-1], "auxiliary units")


def _against_gains(found: Case, gains: Sequence[float] | np.ndarray, detail: str = "") -> Check:
    wanted = directions(found, adjusted=False)
    # the drive of the layer above shifts by as much of f(h) as the layer itself, times c_{l-1}/c_l
    small = shrunk(found, [gain * way for gain, way in zip(gains, wanted, strict=True)])
    record = settled(small, "itp")
    if record is None:
        return undecided(found, "no equilibrium found in float64")
    wanted = directions(small, adjusted=False)
    measured = [per_unit(record.shifts, layer, gain) for layer, gain in enumerate(gains, 1)]
    bounds = _closed_form_bounds(small, record, gains, wanted)
    return compared(small, measured, wanted, bounds, detail)


def _closed_form_bounds(
    found: Case,
    record: Equilibrium,
    gains: Sequence[float] | np.ndarray,
    ways: Sequence[np.ndarray],
) -> list[float]:
    """Relative error of delta_l / c_l, from the residuals R_l by the block elimination itself.

    Upwards rho_l = (R_l + (1 - gamma_l) D_l rho_{l-1}) / (1 - (1 - gamma_l) a_{l-1}), downwards
    err_l = rho_l + a_l D_{l+1}^-1 err_{l+1}, all divided by c_l.
    """
    depth, gammas = len(gains), found.gammas
    c = [0.0, *gains, 1.0]
    sizes = [float(np.linalg.norm(way)) for way in ways]
    residual = max(record.relative_residuals)
    upward, local = [], []
    for layer in range(1, depth + 1):
        W, below = found.network.weights[layer - 1], layer - 1
        a = c[below] / c[layer]
        escape = gammas[layer - 1] + (1 - gammas[layer - 1]) * (1 - a)
        above = found.network.weights[layer] if layer < depth else np.eye(1)
        own = residual + (len(W) + 4) * EPS * (2 + float(np.linalg.cond(above)))
        local.append(own / escape)
        ratio = (1 - gammas[layer - 1]) * a / escape * (sizes[below - 1] / sizes[layer - 1])
        D = found.slopes[layer][:, None] * W * ratio
        missing = (len(ways[below - 1]) if below else len(W)) - len(W)
        upward.append(np.pad(D, ((0, 0), (0, missing))))
    rho = rounding.accumulated(upward, local)
    downward = [np.eye(len(ways[-1]))]
    for layer in range(depth, 1, -1):
        step = rounding.step_down("itp", found.network.weights[layer - 1], found.slopes[layer])
        missing = len(ways[layer - 2]) - len(step)
        scaled = step * (sizes[layer - 1] / sizes[layer - 2])
        downward.append(np.pad(scaled, ((0, missing), (0, 0))))
    # the formula is evaluated with as many solves again, and its gain with a power of r
    doubled = [size + (len(ways[0]) + 4 + 4 * depth) * EPS for size in rho[::-1]]
    solves = rounding.of_shifts("itp", found.network.weights, found.slopes, ways)
    carried = rounding.accumulated(downward, doubled)[::-1]
    return [one + two for one, two in zip(carried, solves, strict=True)]


def linear_circuits(plan: ClaimPlan) -> Iterator[Check]:
    """A = 1: one vector field, hence one equilibrium; mismatch (c_l - c_{l-1}) F_l^-1 e."""
    for found in cases(plan, LINEAR, (1e-3, 0.1, 0.5), wide=True, deepest=5):
        for gammas in (found.gammas, unequal(found.network.depth, found.subject.seed)):
            one = replace(found, gammas=gammas, subject=replace(found.subject, gamma=min(gammas)))
            yield _one_velocity(one)
            record = settled(one, "gait")
            if record is None:
                yield undecided(one, "no equilibrium found in float64")
                continue
            c = ruin(gammas)
            ways = directions(one, adjusted=False)
            bounds = _closed_form_bounds(one, record, c[1:-1], ways)
            measured = [per_unit(record.shifts, k, c[k]) for k in range(1, len(ways) + 1)]
            yield compared(one, measured, ways, bounds, "shift of the GAIT circuit over c_l")
            steps = np.diff(_ruin(gammas)).astype(float)[:-1]
            measured = [per_unit(record.mismatches, k, step) for k, step in enumerate(steps, 1)]
            # m_l = delta_l - W_l delta_{l-1}: the errors of both, in units of their difference
            allowed = []
            for k, step in enumerate(steps, 1):
                W, size = one.network.weights[k - 1], float(np.linalg.norm(ways[k - 1]))
                error = bounds[k - 1] * c[k] * size
                if k > 1:
                    below = float(np.linalg.norm(ways[k - 2])) * c[k - 1]
                    norm = float(np.linalg.norm(W, 2))
                    error += (bounds[k - 2] + (len(W) + 2) * EPS) * norm * below
                allowed.append(error / (step * size))
            yield compared(one, measured, ways, allowed, "mismatch over c_l - c_{l-1}")


def _one_velocity(found: Case) -> Check:
    """Both vector fields at random rates, against -y_l + (1-g) W y_{l-1} + g W^-1 y_{l+1}."""
    network, depth = found.network, found.network.depth
    rng = np.random.default_rng([found.subject.seed, 3])
    rates = [rng.standard_normal((1, width)) for width in network.widths[1:]]
    y = [found.inputs[0], *(rate[0] for rate in rates)]
    y.append(found.rates[-1] + found.error[0])  # the target is the layer above the output
    fields = {pathway: velocity(trial_of(found, pathway), rates) for pathway in ("itp", "gait")}
    checks = []
    for layer in range(1, depth + 1):
        gamma, W = found.gammas[layer - 1], network.weights[layer - 1]
        above = np.eye(len(W)) if layer == depth else network.weights[layer]
        back = np.linalg.solve(above, y[layer + 1])
        wanted = -y[layer] + (1 - gamma) * (W @ y[layer - 1]) + gamma * back
        size = float(np.linalg.norm(wanted))
        # of the forward pass, of two products and a solve, and of the sum
        parts = (
            (len(W) + 4)
            * EPS
            * np.array(
                [np.linalg.norm(W, 2) * np.linalg.norm(y[layer - 1]), np.linalg.norm(y[layer])]
            )
        )
        condition = float(np.linalg.cond(above))
        pulled = (len(W) + 4) * EPS * condition * 3 * float(np.linalg.norm(y[layer + 1]))
        pulled += (len(W) + 4) * EPS * condition * float(np.linalg.norm(y[layer]))
        pulled *= max(1.0, float(np.linalg.norm(np.linalg.inv(above), 2)))
        of_target = rounding.of_rates(network.weights, found.slopes, found.rates)[-1]
        bound = (3 * float(parts.sum()) + gamma * (pulled + of_target)) / size
        for pathway, field in fields.items():
            error = float(np.linalg.norm(field[layer - 1][0] - wanted)) / size
            detail = f"layer {layer}, velocity of the {pathway.upper()} circuit"
            measured = float(np.linalg.norm(field[layer - 1]))
            checks.append(Check(found.subject, size, measured, error, bound, detail))
    return worst(checks)


def circuits_differ(plan: ClaimPlan) -> Iterator[Check]:
    """Control: on leaky-ReLU the GAIT circuit does not rest where the ITP circuit does."""
    for found in cases(plan, (("leaky_relu", "orthogonal"),), (0.01,), shallowest=2, deepest=12):
        gains = ruin(found.gammas)[1:-1]
        ways = directions(found, adjusted=False)
        small = shrunk(found, [gain * way for gain, way in zip(gains, ways, strict=True)])
        record = settled(small, "gait")
        if record is None:
            yield undecided(found, "no equilibrium found in float64")
            continue
        ways = directions(small, adjusted=False)
        bounds = _closed_form_bounds(small, record, gains, ways)
        measured = [per_unit(record.shifts, layer, gain) for layer, gain in enumerate(gains, 1)]
        yield compared(small, measured[:-1], ways[:-1], bounds[:-1], control=True)
