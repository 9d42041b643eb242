"""What is measured of circuits with strong top-down input.

Owns stability, uniqueness, how far the rates have come to full targets, and whose update they
carry.
"""

from __future__ import annotations

import numpy as np

from analysis.stability import settling_times, spectrum
from circuit.errors import CircuitError
from circuit.feedback import output_only
from circuit.plasticity import local_update, updates
from circuit.report.alignment import agreement
from circuit.rules import RULES
from circuit.settings.circuits import READOUTS
from studies.top_down.circuit import (
    FreeRest,
    Layers,
    TopDown,
    find_rest,
    image_of,
    jacobians,
    mismatches,
    with_inputs,
)
from studies.top_down.theory import chain_abscissa, chain_gains, replaced_eigenvalues

RULE_NAMES = ("output_only", "bp", "tp")  # the first is that of the circuit's own pathway
MEASURES = {
    "abscissa": "spectral abscissa in 1/tau, median over the judged images",
    "abscissa_worst": "the largest of these",
    "abscissa_error": "what rounding may have done to the largest",
    "abscissa_theory": "chain_abscissa (ITP, a linear piece); replaced_eigenvalues (gamma = 1)",
    "settling_time": "until the slowest layer is 0.1 % away, linearised, in tau; median; NaN where "
    "unstable",
    "others": "fraction of the judged images with another equilibrium, found from random states",
    "arrival": "|z_1| against that of full targets, mean over images",
    "arrival_theory": "c_1 of chain_gains (ITP, a linear piece)",
    "input_share": "|dy_1/dx| against that of the forward pass, of one image",
}
LOOKED_FROM = 2  # random states from which other equilibria are looked for
SMALLEST_READOUT = 1e-7  # of a mismatch against the shift; what is less has been lost
FRACTION = 1e-3  # of a layer's shift that is missing when it is called settled
INPUT_STEP = 1e-4  # |dx| of the difference quotient


def measures(
    circuit: TopDown, found: FreeRest, judged: int, rng: np.random.Generator | None
) -> dict[str, float]:
    """All of `MEASURES`; NaN where no image is settled.

    Parameters
    ----------
    judged : settled images whose spectrum is computed
    rng : of the random states; None to look for no other equilibria
    """
    chain = (circuit.network.depth, circuit.keep, circuit.take, circuit.nudge)
    replaced = circuit.take == 1 and circuit.keep == 0
    result = dict.fromkeys(MEASURES, float("nan"))
    result["arrival_theory"] = float(chain_gains(*chain)[0])
    if not circuit.pathway.gradient_adjusted:
        result["abscissa_theory"] = chain_abscissa(*chain)
    images = np.flatnonzero(found.settled)[:judged]
    if not len(images):
        return result
    spectra, times, others, exact = [], [], [], []
    for image in images:
        one, state = image_of(circuit, image), tuple(z[[image]] for z in found.state)
        matrix = jacobians(one, state)[0]
        spectra.append(spectrum(matrix))
        times.append(settling_time(circuit, matrix, spectra[-1].abscissa, state))
        if rng is not None:
            others.append(has_another(one, state, rng))
        if replaced:
            exact.append(replaced_eigenvalues(one, state).max())
    worst = max(spectra, key=lambda one: one.abscissa)
    return result | {
        "abscissa": float(np.median([one.abscissa for one in spectra])),
        "abscissa_worst": worst.abscissa,
        "abscissa_error": worst.abscissa_error,
        "abscissa_theory": float(np.median(exact)) if exact else result["abscissa_theory"],
        "settling_time": float(np.median(times)),
        "others": float(np.mean(others)) if others else float("nan"),
        "arrival": arrival(circuit, found),
        "input_share": input_share(circuit, found, int(images[0])),
    }


def settling_time(circuit: TopDown, matrix: np.ndarray, abscissa: float, state: Layers) -> float:
    """Time in tau after which every layer is and stays within `FRACTION` of its end; NaN unless
    stable.

    Of the linearised circuit, of one image, on a grid as coarse as its slowest mode allows.
    """
    if not abscissa < 0:
        return float("nan")
    step = max(0.125, np.log(1 / FRACTION) / -abscissa / 1000)
    end, widths = np.concatenate(state, axis=1)[0], circuit.network.widths[1:]
    times = settling_times(matrix, end, widths, fraction=FRACTION, step=step, longest=4000 * step)
    return float(np.max(times))


def has_another(circuit: TopDown, state: Layers, rng: np.random.Generator) -> bool:
    """Whether Newton's method from random states ends in another equilibrium than `state`."""
    known = np.concatenate(state, axis=1)
    for _ in range(LOOKED_FROM):
        start = tuple(
            rng.standard_normal(z.shape) * np.sqrt(np.mean(y**2))
            for z, y in zip(state, circuit.activity.rates[1:], strict=True)
        )
        other = find_rest(circuit, start)
        distance = np.linalg.norm(np.concatenate(other.state, axis=1) - known)
        if other.settled[0] and distance > 1e-5 * np.linalg.norm(known):
            return True
    return False


@np.errstate(all="ignore")  # what overflows is refused
def arrival(circuit: TopDown, found: FreeRest) -> float:
    """|z_1| over the shift of layer 1 with full targets (Eq. 5), the mean over settled images."""
    ratios = []
    for image in np.flatnonzero(found.settled):
        one = image_of(circuit, int(image))
        error = one.error[:, : circuit.network.n_outputs]
        try:
            full = RULES["tp"](circuit.network, one.activity, error, 1.0).absolute(1)
        except CircuitError:  # beyond the range of units, or of floats
            continue
        ratios.append(np.linalg.norm(found.state[0][image]) / np.linalg.norm(full))
    return float(np.mean(ratios)) if ratios else float("nan")


def input_share(circuit: TopDown, found: FreeRest, image: int) -> float:
    """|dy_1/dx . v| over that of the forward pass, for one direction v: what is left of the input.

    By central differences of equilibria for the same target; NaN where these are not found.
    """
    one, state = image_of(circuit, image), tuple(z[[image]] for z in found.state)
    inputs = one.activity.rates[0]
    step = np.random.default_rng(0).standard_normal(inputs.shape)
    step *= INPUT_STEP / np.linalg.norm(step)
    ends, forwards = [], []
    for sign in (1.0, -1.0):
        moved = with_inputs(one, inputs + sign * step)
        rest = find_rest(moved, state)
        if not rest.settled[0]:
            return float("nan")
        forwards.append(moved.activity.rates[1])
        ends.append(forwards[-1] + rest.state[0])
    change, before = ends[0] - ends[1], forwards[0] - forwards[1]
    return float(np.linalg.norm(change) / np.linalg.norm(before))


@np.errstate(all="ignore")  # what overflows is refused
def cosines(circuit: TopDown, found: FreeRest) -> np.ndarray:
    """Cosines between updates, over the settled images, (readout, rule, layer).

    With rates and slopes of the forward pass, from both `READOUTS`, against `RULE_NAMES`. NaN where
    a layer's read-out is lost in that of the others, or a rule's targets are out of range.
    """
    network, activity, there = circuit.network, circuit.activity, found.settled
    read = {"shift": found.state, "mismatch": mismatches(circuit, found.state)}
    result = np.full((len(READOUTS), len(RULE_NAMES), network.depth), np.nan)
    error = circuit.error[:, : network.n_outputs]
    strengths = output_only(circuit.nudge, network.depth)
    for column, name in enumerate(RULE_NAMES):
        rule = RULES[circuit.pathway.name if name == "output_only" else name]
        try:
            shifts = rule(network, activity, error, strengths)
        except CircuitError:
            continue
        kept = tuple(np.where(there[:, None], value, 0.0) for value in shifts.values)
        exact = updates(network, activity, shifts.with_values(kept))
        for row, readout in enumerate(READOUTS):
            for layer, value in enumerate(read[readout], 1):
                size = np.linalg.norm(found.state[layer - 1][there])
                if np.linalg.norm(value[there]) < SMALLEST_READOUT * size:
                    continue
                own = local_update(
                    activity.slope(layer)[there],
                    value[there],
                    activity.rates[layer - 1][there, : network.weights[layer - 1].shape[-1]],
                )
                agreed = agreement(own.weights, exact[layer - 1].weights)
                result[row, column, layer - 1] = agreed.cosine
    return result
