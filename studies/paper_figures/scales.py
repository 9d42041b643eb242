"""How large the training runs behind the figures are, and their learning rates and lambdas.

Owns `SCALES`, and the widths of Fig. 3B. Those values of scale laptop that are chosen were found by
figure "grid" at that scale, on validation images (docs/results.md); those of scales desk and paper
are the authors' own (`training.settings.CHOSEN`). Scale desk is the paper's in everything but the
number of epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from analysis.controls import CONTROLS
from circuit.errors import CircuitError
from studies.training_run import IMAGE_SETS
from training import settings as presets

RULES = ("bp", "gait", "grait", "circuit", "itp", "tp")
NARROWING = (784, 784, 500, 200, 10)  # Fig. 3B

Chosen = dict[str, tuple[float, float]]  # rule or control -> learning rate, lambda


def same_for_all(rate: float, strength: float) -> Chosen:
    """One learning rate and lambda for every rule; controls, whose layers nobody inverts, have no
    lambda.
    """
    return dict.fromkeys(RULES, (rate, strength)) | dict.fromkeys(CONTROLS, (rate, 0.0))


@dataclass(frozen=True)
class FiguresScale:
    """What a scale leaves of the paper's figures.

    Attributes
    ----------
    datasets : the first of them where the paper has MNIST alone
    pooling : images of 28 x 28 pixels are averaged over squares of so many pixels a side
    depths : of Fig. 2A
    depth : hidden layers of Fig. 2B, 2C and the grid
    epochs, batch, train_images, seeds : of every run; None for all images
    leaky_relu, linear : best learning rate and lambda of each rule; linear networks have lambda 0
    same : learning rate and lambda for all rules, weights being kept near orthogonal
    grid_rates, grid_lambdas, grid_seeds : of the grid search, for as many epochs
    every, every_epochs_of_digits, every_seeds : of figure "every", which has digits beside the
        first data set; k of the k-th steps, 1 among them
    few_seeds : of figure "claim": so many of `seeds` for what stands beside the rules that decide
    long_epochs : of figure "longer"
    test_every, long_test_every : of "claim", and of "longer": batches from one look at all test
        images to the next within an epoch
    measure_every : of both: epochs from one measure of all layers to the next
    data_dir : folder of the data sets, or the file or folder of one's own images
    """

    datasets: tuple[str, ...]
    pooling: int
    depths: tuple[int, ...]
    depth: int
    epochs: int
    batch: int
    train_images: int | None
    seeds: tuple[int, ...]
    leaky_relu: Chosen
    linear: Chosen
    same: tuple[float, float]
    grid_rates: tuple[float, ...]
    grid_lambdas: tuple[float, ...]
    grid_seeds: tuple[int, ...]
    every: tuple[int, ...]
    every_epochs_of_digits: int
    every_seeds: tuple[int, ...]
    few_seeds: int
    long_epochs: int
    test_every: int
    long_test_every: int
    measure_every: int
    data_dir: str | None = None


AUTHORS: Chosen = {
    rule: (float(str(values["learning_rate"])), float(str(values["orthogonality"])))
    for rule, values in presets.CHOSEN.items()
}
AUTHORS |= dict.fromkeys(CONTROLS, AUTHORS["bp"])


def _linear(chosen: Chosen) -> Chosen:
    """The same learning rates without lambda."""
    return {rule: (rate, 0.0) for rule, (rate, _) in chosen.items()}


DESK = FiguresScale(
    datasets=IMAGE_SETS,
    pooling=1,
    depths=(1, 2, 3, 4),
    depth=4,
    epochs=15,
    batch=60,
    train_images=None,
    seeds=(1, 2, 3, 4, 5),
    leaky_relu=AUTHORS,
    linear=_linear(AUTHORS),
    same=(1e-4, 0.1),
    grid_rates=(1e-5, 1e-4, 1e-3),
    grid_lambdas=(0.0, 0.1, 10.0, 1000.0),
    grid_seeds=(101,),
    every=(1, 4, 10),
    every_epochs_of_digits=60,
    every_seeds=(1, 2, 3, 4, 5),
    few_seeds=3,
    long_epochs=40,
    test_every=100,
    long_test_every=10,
    measure_every=5,
)

SCALES: dict[str, FiguresScale] = {
    "smoke": FiguresScale(
        datasets=("digits",),
        pooling=1,
        depths=(1, 2),
        depth=2,
        epochs=3,
        batch=30,
        train_images=400,
        seeds=(1, 2),
        leaky_relu=same_for_all(2e-3, 0.0) | {"tp": (5e-4, 0.0)},
        linear=same_for_all(2e-3, 0.0),
        same=(2e-3, 0.1),
        grid_rates=(5e-4, 2e-3),
        grid_lambdas=(0.0, 0.1),
        grid_seeds=(1,),
        every=(1, 4),
        every_epochs_of_digits=2,
        every_seeds=(1, 2),
        few_seeds=1,
        long_epochs=6,
        test_every=5,
        long_test_every=1,
        measure_every=3,
    ),
    "laptop": FiguresScale(
        datasets=IMAGE_SETS,
        pooling=2,
        depths=(1, 2, 3, 4),
        depth=4,
        epochs=5,
        batch=60,
        train_images=12000,
        seeds=tuple(range(1, 9)),
        leaky_relu={
            "bp": (1e-3, 0.0),
            "gait": (1e-3, 0.0),
            "grait": (1e-3, 0.0),
            "circuit": (1e-3, 0.0),
            "itp": (1e-3, 0.1),
            "tp": (1e-3, 10.0),
            "no_hidden": (3e-3, 0.0),
            "frozen": (3e-3, 0.0),
        },
        linear=same_for_all(3e-4, 0.0) | {"no_hidden": (3e-3, 0.0), "frozen": (1e-3, 0.0)},
        same=(1e-3, 0.1),
        grid_rates=(3e-4, 1e-3, 3e-3),
        grid_lambdas=(0.0, 0.1, 1.0, 10.0),
        grid_seeds=(101, 102, 103),
        every=(1, 4, 10),
        every_epochs_of_digits=60,
        every_seeds=tuple(range(1, 9)),
        few_seeds=3,
        long_epochs=15,
        test_every=60,
        long_test_every=6,
        measure_every=5,
    ),
    "desk": DESK,
    "paper": replace(
        DESK,
        epochs=100,
        every_epochs_of_digits=100,
        long_epochs=200,
        test_every=10,
        measure_every=10,
    ),
}


def narrowing(pixels: int, outputs: int = NARROWING[-1]) -> str:
    """Widths of Fig. 3B, in proportion to the number of pixels; no layer has fewer units than there
    are outputs.

    Raises `CircuitError` for more outputs than pixels.
    """
    if outputs > pixels:
        raise CircuitError(
            f"layers cannot narrow from {pixels} pixels to {outputs} outputs; use images of "
            f"{outputs} pixels or more, or of fewer classes"
        )
    scaled = [max(outputs, round(width * pixels / NARROWING[0])) for width in NARROWING[:-1]]
    return "-".join(map(str, [*scaled, outputs]))
