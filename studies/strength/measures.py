"""What a circuit at one feedback strength does: its updates, gains, kinks, and how it settles.

Owns the measures of the study `strength` as functions of a trial.

Where not every image finds an equilibrium, updates and gains are those of the images that did, and
the fraction stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from analysis import stability
from analysis.linearised import linearised
from circuit.errors import NotFinite, TargetOutOfRange
from circuit.feedback import closed_form_gain
from circuit.linearisation.matrix import dense_jacobian
from circuit.network import Network
from circuit.numerics.arrays import row_norms, to_numpy
from circuit.numerics.scale import ONE, Scale
from circuit.plasticity import Update, updates
from circuit.report.alignment import agreement
from circuit.rules import RULES
from circuit.settings.circuits import READOUTS
from circuit.shift_dynamics import balance
from circuit.shifts import Shifts
from circuit.trial import Trial
from circuit.verification.judgement import Status
from circuit.verification.sliding import sliding_slopes
from studies.strength.partly_settled import SettledImages, settle_directly, settle_most

LARGEST_SPECTRAL_ERROR = 0.05  # of 1/tau, the leak of a unit: beyond it an eigenvalue is not given
MEASURED = "measured"
ABSCISSAS_ONLY = "abscissas only"
NOT_CONVERGED = "ARPACK did not converge"


@np.errstate(over="ignore", invalid="ignore")  # what overflows is refused, not printed
def rule_shifts(trial: Trial) -> dict[str, Shifts | None]:
    """The shifts of every rule at the circuit's feedback strengths; None for a rule that has no
    targets here.
    """
    network, error = trial.network, trial.error[..., : trial.network.n_outputs]
    found: dict[str, Shifts | None] = {}
    for name, rule in RULES.items():
        try:
            found[name] = rule(network, trial.activity, error, trial.circuit.strengths)
        except (TargetOutOfRange, NotFinite):
            found[name] = None
    return found


def update_agreements(settled: SettledImages, rules: dict[str, Shifts | None]) -> xr.Dataset:
    """Weight changes read from the circuit against each rule's.

    Returns
    -------
    `cosine`, `relative_error`, `norm_ratio` (readout, rule, layer), and `refused` (rule): 1 where a
    rule has no targets for these images
    """
    trial, depth = settled.trial, settled.trial.network.depth
    measures = {
        name: np.full((len(READOUTS), len(rules), depth), np.nan)
        for name in ("cosine", "relative_error", "norm_ratio")
    }
    changes: dict[str, tuple[Update, ...] | None] = {
        name: None if shifts is None else updates(trial.network, trial.activity, shifts)
        for name, shifts in rules.items()
    }
    for i, readout in enumerate(READOUTS if settled.images else ()):
        own = updates(trial.network, trial.activity, settled.read_out(readout))
        for j, change in enumerate(changes.values()):
            for layer in range(depth) if change is not None else ():
                agreed = agreement(own[layer].weights, change[layer].weights)  # type: ignore[index]
                for name, values in measures.items():
                    values[i, j, layer] = getattr(agreed, name)
    dimensions = ("readout", "rule", "layer")
    return xr.Dataset(
        {name: (dimensions, values) for name, values in measures.items()}
        | {"refused": ("rule", np.array([float(shifts is None) for shifts in rules.values()]))},
        coords={"readout": list(READOUTS), "rule": list(rules), "layer": np.arange(1, depth + 1)},
    )


def predicted_gains(trial: Trial) -> tuple[Scale, ...]:
    """What the theory says of the size of each layer's shift, with one gamma everywhere.

    ITP circuit: c_l, exact within a linear piece (docs/derivation.md, section 3). GAIT circuit:
    gamma (gamma / (1 - gamma))^(L - l), that of the mismatch (section 4).
    """
    gamma, depth = trial.circuit.strengths[0], trial.network.depth
    if not trial.circuit.pathway.gradient_adjusted:
        return tuple(
            Scale.of(closed_form_gain(gamma, layer, depth)) for layer in range(1, depth + 1)
        )
    gains = [ONE.times(gamma)]
    for _ in range(depth - 1):
        gains.append(gains[-1].times(gamma / (1 - gamma)))
    return tuple(gains[::-1])


def gain_ratios(settled: SettledImages, rule: Shifts | None) -> np.ndarray:
    """The measured gain of each layer's shift over the predicted one, (L,).

    The measured gain is the least-squares factor between the circuit's shifts and those of the rule
    that its pathway stands for, per unit of the rule's own gain. Units that nobody reads are left
    out. NaN where the rule has no shifts.
    """
    network = settled.trial.network
    ratios = np.full(network.depth, np.nan)
    if rule is None:
        return ratios
    for layer, predicted in enumerate(predicted_gains(settled.trial), 1):
        n = network.n_projecting(layer)
        found = to_numpy(settled.shifts.values[layer - 1])[:, :n]
        wanted = to_numpy(rule.per_gain(layer))[:, :n]
        factor = settled.shifts.scales[layer - 1].over(predicted).value
        size = np.max(np.abs(wanted))  # whose square may leave the range of floats
        wanted = wanted / size
        ratios[layer - 1] = factor * np.sum(found / size * wanted) / np.sum(wanted**2)
    return ratios


def crossed_fractions(settled: SettledImages) -> np.ndarray:
    """Of each layer's units, over images, that have crossed their kink at equilibrium, (L,).

    A unit has crossed if its drive has another sign than in the forward pass, or if what it reports
    to the layer below has another sign than its drive had. Units of layer 1 cannot: their drive is
    clamped and they report to nobody. NaN for activation functions without a kink.
    """
    trial, network = settled.trial, settled.trial.network
    terms = balance(trial, settled.shifts)
    fractions = np.full(network.depth, np.nan)
    for layer in range(1, network.depth + 1):
        unit = network.activation(layer)
        if not unit.piecewise_linear or unit.smallest_slope == unit.largest_slope:
            continue
        if layer == 1:
            fractions[0] = 0.0
            continue
        h = to_numpy(trial.activity.drive(layer))
        below, own = (settled.shifts.scales[i].value for i in (layer - 2, layer - 1))
        drive = h + below * to_numpy(terms.drive_shifts[layer - 1])
        base = drive if trial.circuit.pathway.gradient_adjusted else h
        report = base + own * to_numpy(terms.messages[layer - 1])
        crossed = ((drive > 0) != (h > 0)) | ((report > 0) != (h > 0))
        fractions[layer - 1] = float(np.mean(crossed))
    return fractions


def first_crossing(
    trial_at: Callable[[float], Trial],
    *,
    weakest: float = 1e-12,
    strongest: float = 0.5,
    precision: float = 0.01,
) -> float:
    """The feedback strength at which the first unit of any image crosses its kink.

    Found by halving the interval (of the logarithm) between a strength at which none crosses and
    one at which some do, or at which some image has no equilibrium: within a linear piece both
    circuits have one. Exact for the ITP circuit, whose shifts all grow with gamma; in the GAIT
    circuit a unit might cross and return below the strength that is found.

    Parameters
    ----------
    trial_at : gamma -> the trial with that strength in all layers
    precision : relative, of the result

    Returns
    -------
    gamma; NaN for units without a kink, or where none crosses up to `strongest`; 0 where some cross
    at `weakest`
    """

    def crosses(gamma: float) -> bool:
        trial = trial_at(gamma)
        record = settle_directly(trial)
        if not record.converged:
            return True
        statuses = record.sample_status
        everyone = SettledImages(trial, record.shifts, record.mismatches, statuses, ())
        return bool(np.nansum(crossed_fractions(everyone)) > 0)

    units = trial_at(weakest).network.activations
    if not any(unit.piecewise_linear and unit.smallest_slope < 1 for unit in units):
        return float("nan")
    if crosses(weakest):
        return 0.0
    low, high = weakest, strongest
    while high / low > 1 + precision:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if crosses(middle) else (middle, high)
    if high == strongest and not crosses(strongest):
        return float("nan")
    return high


def orthogonality_distances(network: Network) -> np.ndarray:
    """|W'W - I| / sqrt(n) of each layer's weights (Frobenius norm), (L,).

    Of weights with fewer rows than columns, |WW' - I|.
    """
    distances = []
    for weights in map(to_numpy, network.weights):
        rows, n = weights.shape
        gram = weights.T @ weights if rows >= n else weights @ weights.T
        distances.append(float(np.linalg.norm(gram - np.eye(len(gram))) / np.sqrt(len(gram))))
    return np.array(distances)


def stability_measures(settled: SettledImages, largest_units: int = 320) -> xr.Dataset:
    """How the linearised circuit behaves at the first image that settled with no unit at its kink
    (there it has no derivative), in units of tau.

    Parameters
    ----------
    largest_units
        Up to so many units everything is computed, from the Jacobian as a matrix, which costs n^3;
        beyond, from products with it, the two abscissas.

    Returns
    -------
    `spectral_abscissa`, `euler_step` with `..._error`, what rounding may have done to them (NaN
    where that is over 0.05); `numerical_abscissa`; `transient_growth`, of rates; `settling_time`
    (layer), within 1e-3 of the end, from the forward pass; and `stability`, "measured" or what is
    NaN and why. See `analysis.stability`.
    """
    widths = settled.trial.network.widths[1:]
    values: dict[str, Any] = dict.fromkeys(
        (
            "spectral_abscissa",
            "spectral_abscissa_error",
            "euler_step",
            "euler_step_error",
            "numerical_abscissa",
            "transient_growth",
        ),
        np.nan,
    )
    values["settling_time"] = ("layer", np.full(len(widths), np.nan))
    if not settled.images:
        return xr.Dataset(values | {"stability": "no image settled"})
    slides = [to_numpy(at > 0).any(axis=-1) for at in sliding_slopes(settled.trial, settled.shifts)]
    smooth = np.flatnonzero(~np.any(slides, axis=0))
    if not smooth.size:
        return xr.Dataset(values | {"stability": "every image has units at their kink"})
    settled = settled.only(int(smooth[0]))
    if sum(widths) > largest_units:
        return xr.Dataset(values | _from_products(settled))
    return xr.Dataset(values | _from_matrix(settled))


def _from_matrix(settled: SettledImages) -> dict[str, Any]:
    """All measures, for a circuit that is small enough."""
    trial, widths = settled.trial, settled.trial.network.widths[1:]
    tau = trial.circuit.time_constants[0]
    jacobian = tau * to_numpy(dense_jacobian(trial, settled.shifts))
    found = stability.spectrum(jacobian)
    values: dict[str, Any] = {
        "spectral_abscissa_error": found.abscissa_error,
        "euler_step_error": found.euler_step_error,
        "numerical_abscissa": stability.numerical_abscissa(jacobian),
        "transient_growth": stability.transient_growth(jacobian),
        "stability": MEASURED,
    }
    if found.abscissa_error <= LARGEST_SPECTRAL_ERROR:
        values["spectral_abscissa"] = found.abscissa
    if found.euler_step_error <= LARGEST_SPECTRAL_ERROR:
        values["euler_step"] = found.euler_step
    ends = [settled.shifts.absolute(layer)[0] for layer in range(1, len(widths) + 1)]
    sizes = [float(row_norms(end)) for end in ends]
    if all(sizes):
        times = stability.settling_times(
            stability.in_units_of(jacobian, sizes, widths),
            np.concatenate([end / size for end, size in zip(ends, sizes, strict=True)]),
            widths,
        )
        values["settling_time"] = ("layer", times)
    return values


def _from_products(settled: SettledImages) -> dict[str, Any]:
    """The abscissas, for a circuit of any size."""
    circuit = linearised(settled.trial, settled.shifts)
    tau = settled.trial.circuit.time_constants[0]
    generator = np.random.default_rng(circuit.units)  # any start will do, but always the same
    # eigenvalues do not depend on units, and are found best in those that make J nearly symmetric
    leading = stability.leading_eigenvalue(circuit.balanced().operator(tau), generator)
    growth = stability.largest_initial_growth(circuit.operator(tau), generator)
    values = {"spectral_abscissa_error": leading.error, "numerical_abscissa": growth}
    if leading.error <= LARGEST_SPECTRAL_ERROR:
        values["spectral_abscissa"] = leading.value.real
    found = np.isfinite([leading.error, growth]).all()
    return values | {"stability": ABSCISSAS_ONLY if found else NOT_CONVERGED}


def measures(trial: Trial, *, largest_units: int = 320) -> xr.Dataset:
    """All measures of one trial with one gamma everywhere; `status` as of `SettledImages`."""
    network, settled = trial.network, settle_most(trial)
    layers = np.arange(1, network.depth + 1)
    outcomes = [status.value for status in Status]
    counts = np.array([settled.statuses.count(status) for status in Status])
    rules = rule_shifts(settled.trial)
    unmeasured = np.full(network.depth, np.nan)
    parts = [
        xr.Dataset(
            {
                "settled_fraction": settled.fraction,
                "outcome_fraction": ("outcome", counts / len(settled.statuses)),
                "gain_ratio": (
                    "layer",
                    gain_ratios(settled, rules[trial.circuit.pathway.name])
                    if settled.images
                    else unmeasured,
                ),
                "log10_gain_predicted": (
                    "layer",
                    np.array([gain.log10 for gain in predicted_gains(trial)]),
                ),
                "crossed_fraction": (
                    "layer",
                    crossed_fractions(settled) if settled.images else unmeasured,
                ),
                "orthogonality_distance": ("layer", orthogonality_distances(network)),
                "status": settled.status,
            },
            coords={"outcome": outcomes, "layer": layers},
        ),
        update_agreements(settled, rules),
        stability_measures(settled, largest_units),
    ]
    return xr.merge(parts, compat="no_conflicts", join="exact")
