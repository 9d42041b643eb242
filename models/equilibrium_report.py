"""What is said and kept of a settled circuit: lines on the terminal, and summary.json.

Owns these words and names. Does not own the comparison with the rules (`analysis.report`) nor the
figures.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from analysis.records import versions
from analysis.report import Report
from circuit.dynamics import Trial
from models.options import plain


def summarise(
    chosen: argparse.Namespace,
    found: Report,
    brian2: list[tuple[float, float]] | None,
    verdict: str,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The content of summary.json."""
    layers = []
    for layer in found.layers:
        entry = None
        if brian2 is not None:
            error, floor = brian2[layer.layer - 1]
            entry = {"relative_error": error, "float_floor": floor}
        layers.append(
            {
                "layer": layer.layer,
                "shift_norm": layer.shift_norm,
                "log10_shift_norm": layer.log10_shift,
                "relative_residual": layer.relative_residual,
                "error_bound": layer.error_bound,
                "updates": {
                    name: None if agreed is None else asdict(agreed)
                    for name, agreed in layer.updates.items()
                },
                "update_bound": layer.bound,
                "brian2": entry,
            }
        )
    return {
        "status": found.record.status.value,
        "verdict": verdict,
        "agrees": found.agrees,
        "undecided_layers": list(found.undecided),
        "config": plain(chosen),
        "versions": versions(),
        "seed": chosen.seed,
        "seconds": seconds,
        "method": {
            "name": found.record.method,
            "steps": found.record.steps,
            "evaluations": found.record.evaluations,
            "tolerance": found.record.tolerance,
        },
        "layers": layers,
    }


def description(chosen: argparse.Namespace, trial: Trial) -> str:
    """What is settled, in one line."""
    widths = "-".join(map(str, trial.network.widths))
    strengths = sorted(set(trial.circuit.strengths))
    gamma = ", ".join(f"{value:g}" for value in strengths)
    return (
        f"{trial.error.shape[0]} images of {chosen.dataset}, layers {widths} "
        f"({trial.network.n_outputs} outputs with a target), {chosen.init} weights, "
        f"{chosen.activation}, {chosen.pathway} pathway, gamma {gamma}, {chosen.precision}"
    )


def brian2_words(brian2: list[tuple[float, float]] | None) -> str:
    """What Brian2 adds to the verdict; nothing where it was left out."""
    if brian2 is None:
        return ""
    worst = max(error for error, _ in brian2)
    ratio = max(error / floor for error, floor in brian2)
    return (
        f" Brian2 finds the same shifts to a relative {worst:.1g}, {ratio:.1f} times what float64 "
        "leaves of a difference of rates."
    )
