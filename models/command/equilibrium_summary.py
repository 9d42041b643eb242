"""What is said and kept of a settled circuit: lines on the terminal, and summary.json."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from analysis.records import versions
from models.command.parsing import plain

if TYPE_CHECKING:
    from circuit.report.comparison import Report
    from circuit.trial import Trial
    from models.command.equilibrium_in_time import InTime

LONGEST_RUN = 12  # of layers of one width, whose widths are all printed


def summarise(
    chosen: argparse.Namespace,
    found: Report,
    simulated: InTime,
    verdict: str,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The content of summary.json."""
    layers, brian2 = [], simulated.comparison
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
        "brian2_images": simulated.n_images,
        "method": {
            "name": found.record.method,
            "steps": found.record.steps,
            "evaluations": found.record.evaluations,
            "tolerance": found.record.tolerance,
        },
        "layers": layers,
    }


def description(chosen: argparse.Namespace, trial: Trial, images: str) -> str:
    """What is settled, in one line; `images` is the name of theirs."""
    widths = shortened(trial.network.widths)
    weights = f"{chosen.init} weights" if chosen.weights is None else f"weights {chosen.weights}"
    units = "+".join(dict.fromkeys(unit.name for unit in trial.network.activations))
    strengths = sorted(set(trial.circuit.strengths))
    gamma = ", ".join(f"{value:g}" for value in strengths)
    through = "" if chosen.feedback == "exact" else f" through the {chosen.feedback}"
    return (
        f"{trial.error.shape[0]} images of {images}, layers {widths} "
        f"({trial.network.n_outputs} outputs with a target), {weights}, "
        f"{units}, {chosen.pathway} pathway{through}, gamma {gamma}, {chosen.precision}"
    )


def shortened(widths: Sequence[int]) -> str:
    """64-64-32; of a run of equal widths longer than `LONGEST_RUN`, the width and the count."""
    parts: list[str] = []
    for width, run in groupby(widths):
        count = len(list(run))
        parts += [str(width)] * count if count <= LONGEST_RUN else [f"{width} ({count} times)"]
    return "-".join(parts)


def brian2_words(brian2: list[tuple[float, float]] | None) -> str:
    """What Brian2 adds to the verdict; nothing where it was left out."""
    if brian2 is None:
        return ""
    worst = max(error for error, _ in brian2)
    ratio = max(error / floor for error, floor in brian2)
    return (
        f" Brian2 finds the same shifts to a relative {worst:.1g}, in every layer within "
        f"{ratio:.1f} times what float64 leaves of a difference of rates."
    )
