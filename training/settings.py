"""What a training run is set to when its options do not say: presets, each with values per rule.

Owns the values and where they come from. Standard library only, so that `--help` answers at once.

quick      a small network on digits, in seconds: that a rule learns can be seen with it, not how
           rules compare. Values of BP, GAIT-prop and the circuit were found by hand, the test
           images of digits included; those of ITP and TP by a grid, on validation images.
paper      the parameters that the paper's authors chose, as they stand in their public code, but
           trained properly: images shuffled, bias-corrected Adam, the epoch chosen on a validation
           split.
reference  as the paper's public code trains, quirks included: see `REFERENCE`.

The paper trains no network by ITP nor by a circuit; in `paper` and `reference` those have the
values of GAIT-prop, which they are to be compared with. Rules of other papers have in `reference`
those of back-propagation, in `paper` a network of their own (`OTHERS`), and in all presets what
their settings name (`presets` of the record).
"""

from __future__ import annotations

from collections.abc import Mapping

from circuit.peers.table import TABLE, own_settings
from circuit.settings.learned_inverse import EXACT
from training.declarations import SETTINGS

Value = str | int | float | bool | tuple[int, ...] | None

PROGRAM = "run_training"  # the command whose settings these are

# what every preset starts from; the name of a value is that of its option
DEFAULTS: dict[str, Value] = {
    name: one.spelt(one.default) for name, one in SETTINGS.items() if not one.fixed
} | {"learning_rate": 4e-3, "orthogonality": 0.3, "batch": 20}

# learning rate and lambda that the authors chose, all with orthogonal weights to begin with
CHOSEN: dict[str, dict[str, Value]] = {
    "bp": {"learning_rate": 1e-4, "orthogonality": 0.0},
    "gait": {"learning_rate": 1e-4, "orthogonality": 0.1},
    "grait": {"learning_rate": 1e-4, "orthogonality": 0.1},
    "itp": {"learning_rate": 1e-4, "orthogonality": 0.1},
    "circuit": {"learning_rate": 1e-4, "orthogonality": 0.1},
    "tp": {"learning_rate": 1e-5, "orthogonality": 1000.0},
}

PAPER: dict[str, Value] = {
    "dataset": "mnist",
    "depth": 4,
    "gamma": 1e-3,
    "batch": 60,
    "epochs": 100,
    "init": "orthogonal",
}

# The quirks: images in the order in which they are stored, 1000 batches an epoch; Adam with beta2
# 0.99 and no correction of its bias, so that early steps are up to twice as long; the regulariser
# acts on columns; the output layer begins with the weights of the last hidden layer, both being
# drawn from one seed; all 60000 images are learned from, and the epoch is chosen on the test split;
# and weights are orthogonal whenever lambda is 0, unless they are asked for (`resolve`).
REFERENCE: dict[str, Value] = PAPER | {
    "batches_per_epoch": 1000,
    "order": "stored",
    "beta2": 0.99,
    "bias_correction": "no",
    "orthogonality_of": "columns",
    "last_weights": "alike",
    "validation": 0.0,
    "precision": "float64",
}
REFERENCE_INIT = {"bp": "gaussian"}  # its default; lambda 0 makes it orthogonal all the same

# ITP and TP do not follow the gradient through leaky-ReLUs, the less the deeper: they get one
# hidden layer, and a loss, learning rate and lambda by validation accuracy (docs/training.md)
_ITP_AND_TP: dict[str, Value] = {"depth": 1, "loss": "cross_entropy"}
QUICK: dict[str, dict[str, Value]] = {
    "bp": {},
    "gait": {},
    "grait": {},
    "circuit": {},
    "itp": _ITP_AND_TP | {"learning_rate": 4e-3, "orthogonality": 0.1},
    "tp": _ITP_AND_TP | {"learning_rate": 2e-3, "orthogonality": 0.1},
}

# lateral inhibition in place of the regulariser, whatever the preset (docs/open_questions.md)
LATERAL: dict[str, dict[str, Value]] = {
    "inhibition": {"orthogonality": 1e-3, "lateral_rate": 0.02},
    "whitening": {"orthogonality": 1e-3},
    "populations": {"orthogonality": 1e-3},
    "decorrelated_drives": {"orthogonality": 0.0, "lateral_rate": 1e-3},
    "decorrelated_inputs": {"orthogonality": 0.0, "lateral_rate": 1e-2},
}


# Rules of other papers, in "paper": the network of Meulemans et al. (2021), in which they can be
# compared, with its number of epochs and of images to choose by, 5000. Learning rate, batch and
# loss are nobody's: papers have other optimisers. A rule's own strengths are in its settings.
OTHERS: dict[str, Value] = {
    "dataset": "mnist",
    "widths": (784, 256, 256, 256, 10),
    "activation": "tanh",
    "output_activation": "linear",
    "learning_rate": 1e-3,
    "orthogonality": 0.0,
    "batch": 60,
    "epochs": 100,
    "validation": 0.0833,
}

# tanh, for which most of them were made; two hidden layers; values by hand, as for BP above
OTHERS_QUICK: dict[str, Value] = {
    "depth": 2,
    "activation": "tanh",
    "output_activation": "linear",
    "learning_rate": 2e-3,
    "orthogonality": 0.0,
}


def preset(name: str, rule: str) -> dict[str, Value]:
    """All values of the preset `name` for `rule`; among them maybe `widths`, which has no other."""
    line = TABLE[rule]
    if line.is_paper:
        if name == "quick":
            return DEFAULTS | QUICK[rule]
        if name == "paper":
            return DEFAULTS | PAPER | CHOSEN[rule]
        return (
            DEFAULTS | REFERENCE | CHOSEN[rule] | {"init": REFERENCE_INIT.get(rule, "orthogonal")}
        )
    own = {one.option: one.spelt(one.default) for one in own_settings(rule).values()}
    values: dict[str, dict[str, Value]] = {
        "quick": OTHERS_QUICK,
        "paper": OTHERS,
        "reference": REFERENCE
        | CHOSEN["bp"]
        | {"orthogonality_of": "rows", "last_weights": "apart"},
    }
    return DEFAULTS | own | values[name] | dict(line.settings().presets.get(name, {}))


def resolve(name: str, rule: str, given: Mapping[str, Value]) -> dict[str, Value]:
    """The values of a preset, with those that were given in their place.

    Parameters
    ----------
    given : the options that somebody wrote; they win
    """
    values = preset(name, rule) | dict(given)
    if values["orthogonality_by"] in LATERAL:
        own = LATERAL[str(values["orthogonality_by"])]
        values |= {"orthogonality_of": "rows"} | own | dict(given)
    if name == "reference" and values["orthogonality"] == 0 and "init" not in given:
        values["init"] = "orthogonal"
    if values["inverse"] != EXACT and "auxiliary" not in given:
        values["auxiliary"] = "no"
    return values
