"""Pictures of a training run.

Owns what `run_training` shows, drawn from `history.nc`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from analysis.canvas import COLOURS, Axes, Drawings, Figure, headline, panels, shades, styled
from circuit.peers.table import TABLE
from training.measures import accuracies

SPLITS = {  # name -> (words, colour, line)
    "train": ("training images (a fixed part)", COLOURS["grey"], "-"),
    "validation": ("validation images", COLOURS["tp"], "--"),
    "test": ("test images", COLOURS["gait"], "-"),
}
SHOWN_SEEDS = 12  # thin lines; of more networks only the mean is drawn


@styled
def learning_curves(data: xr.Dataset) -> Figure:
    """Loss and error by epoch, on the three kinds of images.

    Wants `train_loss`, `train_accuracy` and the same of validation and test (seed, epoch),
    `chosen_epoch` (seed), and the attributes `rule`, `dataset` and `chosen_by`.
    """
    figure, ((left, right),) = panels(1, 2, figsize=(8.6, 3.5))
    epochs, seeds = data["epoch"].values, data.sizes["seed"]
    each = 1 < seeds <= SHOWN_SEEDS
    errors = {split: 100 * (1 - data[f"{split}_accuracy"].values) for split in SPLITS}
    least = min(float(np.min(error[error > 0], initial=100.0)) for error in errors.values())
    floor = least / 2  # where errors of zero are drawn
    for split, (words, colour, line) in SPLITS.items():
        loss, error = data[f"{split}_loss"].values, np.maximum(errors[split], floor)
        if np.isnan(loss).all():
            continue
        for axes, values in ((left, loss), (right, error)):
            if each:
                axes.plot(epochs, values.T, line, color=colour, lw=0.6, alpha=0.35)
            axes.plot(epochs, values.mean(axis=0), line, color=colour, lw=1.8, label=words)
    chosen = data["chosen_epoch"].values
    at_choice = np.maximum(errors["test"][np.arange(len(chosen)), chosen], floor)
    by = data.attrs["chosen_by"]
    right.plot(
        chosen, at_choice, "o", ms=6, mfc="none", color="black", label=f"chosen by {by} accuracy"
    )
    shown = np.concatenate([data[f"{split}_loss"].values for split in SPLITS])
    _logarithmic(left, 0.8 * np.nanmin(shown), 1.25 * np.nanmax(shown))
    left.set_ylabel("loss, mean over images")
    right.set_ylabel("error (% of images)")
    _logarithmic(right, floor, 100, at_floor="0")
    for axes in (left, right):
        axes.set_xlabel("epoch (0: before learning)")
    right.legend(fontsize=8.5, loc="upper right")
    found = accuracies(data)
    figure_of = {which: 100 * float(np.mean(values)) for which, values in found.items()}
    headline(
        figure,
        f"{_name(data)} learns {data.attrs['dataset']}: test accuracy {figure_of['chosen']:.1f} % "
        f"at the epoch chosen by {by} accuracy,\n{figure_of['end']:.1f} % at the end, "
        f"{figure_of['peak']:.1f} % at the peak"
        + (f" (means over {seeds} seeds{'; thin: each' if each else ''})" if seeds > 1 else ""),
    )
    return figure


@styled
def layers_while_learning(data: xr.Dataset) -> Figure:
    """Alignment with back-propagation, distance from orthogonality and condition, by epoch.

    Wants `alignment`, `orthogonality_distance`, `condition` (seed, epoch, layer), means over seeds
    of which are drawn (of condition numbers the geometric one), and the attribute `rule`.
    """
    figure, (grid,) = panels(1, 3, figsize=(9.2, 3.3))
    layers = data["layer"].values
    measured = np.isfinite(data["condition"].values).any(axis=(0, 2))
    epochs = data["epoch"].values[measured]
    alignment = data["alignment"].values[:, measured].mean(axis=0)
    distance = data["orthogonality_distance"].values[:, measured].mean(axis=0)
    condition = np.exp(np.log(data["condition"].values[:, measured]).mean(axis=0))
    for axes, values in zip(grid, (alignment, distance, condition), strict=True):
        for column, colour in enumerate(shades(len(layers))):
            name = "output" if column == len(layers) - 1 else f"layer {layers[column]}"
            axes.plot(epochs, values[:, column], lw=1.2, color=colour, label=name)
        axes.set_xlabel("epoch (0: before learning)")
    grid[0].set_ylabel("cosine with BP's weight change")
    grid[0].set_ylim(min(-0.05, float(np.nanmin(alignment)) - 0.05), 1.05)
    grid[1].set_ylabel("distance of W from orthogonality")
    grid[1].set_ylim(bottom=0)
    grid[2].set_ylabel("condition number of W")
    _logarithmic(grid[2], 0.95, max(2.1, 1.1 * float(condition.max())))
    grid[2].legend(fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    hidden = alignment[:, :-1] if len(layers) > 1 else alignment
    middle, least = np.nanmedian(hidden), np.nanmin(hidden)
    headline(
        figure,
        f"{_name(data)}: in hidden layers its weight changes have a cosine with back-propagation's "
        f"of {middle:.2f} in the median\nand {least:.2f} at least; how far the weights leave "
        "orthogonality on the way"
        + (f" (means over {data.sizes['seed']} seeds)" if data.sizes["seed"] > 1 else ""),
    )
    return figure


TRAINING: Drawings = {
    "learning_curves": (("test_loss",), learning_curves),
    "layers": (("alignment",), layers_while_learning),
}


def _name(data: xr.Dataset) -> str:
    name = TABLE[str(data.attrs["rule"])].called
    return name[0].upper() + name[1:]


def _logarithmic(axes: Axes, low: float, high: float, *, at_floor: str | None = None) -> None:
    """A logarithmic axis from `low` to `high` with plain numbers, and maybe a word at its foot."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 1.5, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5) if len(decades) < 5 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    ticks = [tick for tick in ticks if (1 if at_floor is None else 1.3) * low <= tick <= high]
    labels = [f"{tick:g}" for tick in ticks]
    if at_floor is not None:
        ticks, labels = [low, *ticks], [at_floor, *labels]
    axes.set_yticks(ticks, labels)
    axes.minorticks_off()
