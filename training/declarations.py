"""All settings of a training run, under headings: those of a step, and those declared here.

Owns the settings of what learns, from which images and in what way it is computed, and the order in
which `--help` shows all. Standard library only. Does not own the settings of a step of learning
(`circuit.settings`) nor the presets' values (`training.settings`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from circuit.peers.table import TABLE, own_settings
from circuit.settings.declaration import (
    Choice,
    Count,
    Declaration,
    Flag,
    Interval,
    Number,
    Record,
    declared,
)
from circuit.settings.learned_inverse import INVERSE, LearnedInverseSettings
from circuit.settings.learning import Adam, LessonSettings
from circuit.settings.pull import PULL, PULLS
from circuit.settings.units import UNITS

OPENML = {  # name and version at openml.org of what does not ship with scikit-learn
    "mnist": ("mnist_784", 1),
    "fashion_mnist": ("Fashion-MNIST", 1),
    "kmnist": ("Kuzushiji-MNIST", 1),
}
DATASETS = ("digits", *OPENML)
MOST_LAYERS = 1000  # hidden ones; memory and patience end before
PRESETS = ("quick", "paper", "reference")

RUN = (  # what is no part of a plan, or is spelt otherwise in it
    Choice(
        "quick",
        "values for what is not given. quick: a small network on digits. paper: the parameters of "
        "the paper, trained properly. reference: as the paper's public code trains, with its "
        "quirks: images in stored order, 1000 batches an epoch, Adam with beta2 0.99 and without "
        "correction of its bias, the regulariser on columns, orthogonal weights whenever lambda "
        "is 0, and the epoch chosen on the test images. Of a rule of another paper, paper is a "
        "network of 3 x 256 tanh units on MNIST (default: quick)",
        option="preset",
        known=PRESETS,
        fixed=True,
    ),
    Choice("digits", "digits (8x8) ship with scikit-learn", option="dataset", known=DATASETS),
    Count(100, "in all", option="epochs"),
)
LAYERS = (
    Count(
        3,
        "hidden layers, each as wide as the image",
        option="depth",
        least=0,
        most=MOST_LAYERS,
    ),
    Count(
        None,
        "units of every layer, input first; layer 1 reads the whole image; from there on not "
        "increasing unless with --auxiliary no; replaces --depth",
        option="widths",
        many=True,
        fixed=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(Record):
    """What learns."""

    auxiliary: bool = Flag(
        True,
        "whether units beyond the width of the layer above are read by nobody, so that all weights "
        "but those of layer 1, which nothing inverts, are square and have an inverse; if not, "
        "every layer reads all units below (default: yes with --inverse exact, but no where widths "
        "differ and the rule, such as bp, inverts no weights; else no)",
    ).field()
    activation: str = Choice(
        "leaky_relu",
        "activation function of all units; clipped_tanh is tanh whose targets (tp, itp, gait, "
        "grait) beyond +-0.999 are clipped to there before they are inverted, which history.nc "
        "counts",
        known=UNITS,
    ).field()
    output_activation: str = Choice(
        "same",
        "that of the output layer alone: a one-hot target, inside the range of linear units, is at "
        "the end of that of tanh",
        known=("same", *UNITS),
    ).field()
    init: str = Choice(
        "orthogonal", "random weights to begin with", known=("orthogonal", "gaussian")
    ).field()
    last_alike: bool = Flag(
        False,
        "whether the weights of the output layer begin as those of the last hidden layer, as in "
        "the paper's public code, which draws both from one seed",
        option="last_weights",
        words_of=("alike", "apart"),
    ).field()


@dataclass(frozen=True, kw_only=True)
class ImageSettings(Record):
    """Which images, and how many at a time."""

    train_images: int | None = Count(
        None, "use only so many of the training images, drawn by the seed"
    ).field()
    validation: float = Number(
        0.1,
        "fraction of the training images that is not learnt from but chooses the epoch; with 0 the "
        "test images choose",
        within=Interval(0, 1, "[)", "0.1, or 0 to choose by the test images"),
        least=0,
        metavar="F",
    ).field()
    batch: int = Count(60, "images of a step").field()
    batches_per_epoch: int | None = Count(None, "at most so many steps in an epoch").field()
    shuffled: bool = Flag(
        True, "in which an epoch takes the images", option="order", words_of=("shuffled", "stored")
    ).field()


@dataclass(frozen=True, kw_only=True)
class ComputingSettings(Record):
    """How it is computed, and what is kept on the way."""

    seeds: tuple[int, ...] = Count(
        (1,),
        "of weights, split and order of images; several are trained together, side by side "
        "(default: 1)",
        least=0,
        many=True,
        distinct=True,
        fixed=True,
    ).field()
    precision: str = Choice("float32", "of all numbers", known=("float32", "float64")).field()
    device: str | None = Declaration(
        None,
        "compute with PyTorch on this device, such as cpu or cuda (default: NumPy)",
        fixed=True,
    ).field()
    measure_every: int = Count(
        1,
        "epochs between two measurements of alignment, orthogonality and condition numbers; 0 for "
        "none (default: 1)",
        least=0,
        fixed=True,
    ).field()
    checkpoint_every: int = Count(
        0,
        "batches between two checkpoints within an epoch; there is one after every epoch anyway "
        "(default: 0, no more)",
        least=0,
        fixed=True,
    ).field()


def _of(*records: type[Record]) -> list[Declaration]:
    return [setting for record in records for setting in declared(record).values()]


def _by_option(settings: Iterable[Declaration]) -> dict[str, Declaration]:
    """Of settings of one option name the first."""
    found: dict[str, Declaration] = {}
    for one in settings:
        found.setdefault(one.option, one)
    return found


EVERYDAY = ("rule", "preset", "dataset", "epochs", "seeds")
BY_RECORD: dict[str, list[Declaration]] = {  # heading -> its settings, everyday ones among them
    "the network": [*LAYERS, *_of(NetworkSettings)],
    "the images": [*RUN, *_of(ImageSettings)],
    "what synapses learn from": _of(LessonSettings),
    "Adam": _of(Adam),
    "the pull towards orthogonal weights": [PULL, *_of(*PULLS)],
    "feedback that is not the exact inverse": [INVERSE, *_of(LearnedInverseSettings)],
    "computing": _of(ComputingSettings),
}
# option name -> its declaration
SETTINGS = _by_option(one for settings in BY_RECORD.values() for one in settings)
# heading -> option names
HEADINGS: dict[str, tuple[str, ...]] = {"everyday": EVERYDAY} | {
    heading: tuple(name for name in _by_option(settings) if name not in EVERYDAY)
    for heading, settings in BY_RECORD.items()
}


def settings_now() -> dict[str, Declaration]:
    """Option name -> its declaration, with what each rule of the table alone can be set to."""
    own = (one for rule in TABLE for one in own_settings(rule).values())
    return SETTINGS | {one.option: one for one in own}


# tables of a TOML file -> key -> option name
TABLES: dict[str, dict[str, str]] = {
    table: {key: setting.option for record in records for key, setting in declared(record).items()}
    for table, records in (
        ("adam", (Adam,)),
        ("pull", PULLS),
        ("inverse", (LearnedInverseSettings,)),
    )
}


def tables_now() -> dict[str, dict[str, str]]:
    """`TABLES` with one for each rule that has settings of its own, under its name."""
    of_rules = {rule: own_settings(rule) for rule in TABLE}
    return TABLES | {
        rule: {key: one.option for key, one in own.items()} for rule, own in of_rules.items() if own
    }
