"""Learning inside the circuit: weights as variables of the dynamics, and what breaks it.

A cell is one protocol and one probe at all values of the probe, each in a few networks that differ
in their first weights. Networks and values stand side by side in one Brian2 run over one stream of
images, since a step costs the same for many as for one; where a value changes the equations or the
timing, it has a run of its own. What a circuit does that sleeps is `sleeping`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from analysis.controls import CONTROLS, FROZEN, NO_HIDDEN
from analysis.sweep.study import Seeds, Study, grid
from circuit.plastic.circuit import Plastic, PlasticRecord
from studies.learning_in_circuit.measures import (
    accuracies,
    alignments,
    distances,
    learnt_cosines,
    trained_by_updates,
    with_weights,
)
from studies.learning_in_circuit.setting import (
    LEARNT,
    PAIRS,
    PROTOCOLS,
    SIGNS,
    STEP,
    TAU,
    Matrices,
    Scene,
    exclusive_or,
    first_weights,
    plastic_of,
    scene_of,
)
from studies.learning_in_circuit.sleeping import study as sleeping
from training.sources import OUTSIDE

VERSION = 2  # of what a result means; part of the key of every cell

# values of each probe, and the Euler step where it is another
PROBES: dict[str, Sequence[float]] = {
    "slow": (6.0, 12.0, 24.0, 48.0, 96.0, 192.0),  # of an image, in tau, at a small learning rate
    "rate": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0),  # an image's learning rate
    "duration": (2.0, 3.0, 4.5, 6.0, 9.0, 12.0, 18.0),  # of an image, in tau
    "spread": (1.0, 1.5, 2.0, 3.0, 4.0),  # tau between tau/value and tau*value, log-uniform
    "unmatched": (1.0, 1.05, 1.1, 1.2, 1.5, 2.0),  # the own drive's constant, about the membrane's
    "delay": (0, 1, 2, 4, 6, 8, 12, 16),  # in steps
    "noise": (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3),  # standard deviation of a rate
}
SLOWLY, FEW, UPDATES = 0.01, 20, 8  # an image's learning rate, images and updates for "slow"
FINE = {"spread": 0.25, "unmatched": 0.25}  # steps where time constants may be short
CURVES = ("digits", "xor")  # learning curves; each control has its own: "digits: no hidden layer"
CONTROLLED = tuple(f"{name}: {words}" for name in CURVES for words in CONTROLS.values())
ASLEEP = tuple(f"asleep: {words}" for words in CONTROLS.values())  # on the streams of `sleeping`
ASLEEP_SIGNS = tuple(f"asleep on signs: {words}" for words in CONTROLS.values())
STRETCHES = 10  # of a stream, in which the direction of what is learnt is measured
VARIANTS = (
    "as it is",
    "transposed feedback",
    "fixed feedback",
    "instant own drive",
    "early target",
    "direct storage",
    "shuffled targets",
    *CONTROLS.values(),
)
ONLY_PHASES, ONLY_ALWAYS = {"direct storage"}, {"early target"}


@dataclass(frozen=True)
class Size:
    """How much a scale takes on.

    Attributes
    ----------
    hidden, images, curve : units, and images of a probe and of a learning curve, of task "xor"
    networks, networks_digits : side by side, of "xor" and of images
    epochs, hidden_digits : of the learning curve of ten digits; 0 for none
    """

    hidden: int
    images: int
    curve: int
    networks: int
    networks_digits: int
    seeds: tuple[int, ...]
    epochs: int
    hidden_digits: int
    asleep: tuple[int, int, int]  # classes, hidden units of each layer, and images of `sleeping`


SCALES = {
    "smoke": Size(6, 20, 20, 2, 2, (1,), 0, 0, (3, 6, 16)),
    "laptop": Size(16, 1000, 2000, 5, 3, (1,), 6, 32, (10, 16, 2000)),
    "full": Size(16, 3000, 6000, 5, 3, (1, 2, 3), 12, 32, (10, 32, 8622)),
}
SMOKE_PROBES = ("rate", "noise")


def study(
    scale: str, *, dataset: str = "digits", data_dir: str | None = None, seeds: Seeds = None
) -> Study:
    """The cells of the study at a scale: "smoke", "laptop" or "full"."""
    size, smoke = SCALES[scale], scale == "smoke"
    common = {"dataset": dataset, "data_dir": data_dir, "epochs": 0}
    signs = {"classes": 2**PAIRS, "hidden": size.hidden, "images": size.images}
    signs |= {"networks": size.networks}
    names = SMOKE_PROBES if smoke else (*PROBES, "variant")
    probes = [{"probe": name} | signs for name in names]
    curves = [name for name in (*CURVES, *CONTROLLED) if name.startswith("xor")]
    probes += [{"probe": name} | signs | {"images": size.curve} for name in curves]
    asleep = dict(zip(("classes", "hidden", "images"), size.asleep, strict=True))
    asleep |= {"networks": size.networks_digits}
    if size.epochs:
        digits = {"classes": 10, "hidden": size.hidden_digits, "images": 0, "epochs": size.epochs}
        digits |= {"networks": size.networks_digits}
        curves = [name for name in (*CURVES, *CONTROLLED) if name.startswith("digits")]
        probes += [{"probe": name} | digits for name in curves]
    chosen = size.seeds if seeds is None else seeds
    cells = grid(common, seed=chosen, probe=probes, protocol=PROTOCOLS)
    # of more units than signs inhibition cannot make the answers uncorrelated
    on_signs = signs | {"images": size.curve, "hidden": min(size.hidden, SIGNS)}
    named = (*sleeping.PROBES, *(sleeping.ON_SIGNS + name for name in sleeping.PROBES))
    for probe in (*(sleeping.SMOKE_PROBES if smoke else named), *ASLEEP, *ASLEEP_SIGNS):
        stream = on_signs if "signs: " in probe else asleep
        cells += grid(common | stream | {"protocol": "always", "probe": probe}, seed=chosen)
    return Study("learning_in_circuit", tuple(cells), measure, version=VERSION, outside=OUTSIDE)


def measure(
    *,
    dataset: str,
    data_dir: str | None,
    protocol: str,
    probe: str,
    classes: int,
    hidden: int,
    images: int,
    epochs: int,
    networks: int,
    seed: int,
) -> xr.Dataset:
    """One cell: one protocol and one probe, at all values.

    Parameters
    ----------
    protocol : "phases" (free and nudged, shift, captured) or "always" (mismatch, no phases)
    probe
        A name in `PROBES` or "variant" for the `VARIANTS`, of task `setting.exclusive_or`; one of
        `CURVES`, `CONTROLLED`, `ASLEEP` or `ASLEEP_SIGNS` for a learning curve, of that task or of
        images; or a name in `sleeping.PROBES`, with or without `sleeping.ON_SIGNS` before it, of
        which `sleeping.measured` says what is measured, in two hidden layers of `hidden` units.
    classes : the digits 0 to classes - 1 are learnt
    images, epochs : length of the stream; epochs where images is 0
    networks : side by side, with other first weights

    Returns
    -------
    xr.Dataset
        Along (value, network): `accuracy` on test images, NaN where a network diverged, and
        `alignment`, the cosine of B with W^T; `learnt_cosine`, of what the stream changes in W_1
        with back-propagation (`measures.learnt_cosines`), NaN where layer 1 does not learn. A value
        is in the probe's own units, of a curve the images shown, of "variant" a place in
        `VARIANTS`, with `variant` its name. Of "rate" too:
        `trainer_accuracy`, that of one update an image from settled rates, and `trainer_settled`,
        the fraction of images at which they settle. Of "slow": `distance` of the weights from those
        of a trainer that updates in settled rates, beside what it has learnt. Of all: `chance`,
        `n_test`, and `measured` (value), 1 where anything was. The status is
        "converged", or "diverged: ..." with how many networks did.
    """
    curve, _, control = probe.partition(": ")
    sleeps, beside = sleeping.is_asleep(probe), curve in ("asleep", "asleep on signs")
    of_images = probe in sleeping.PROBES or curve in ("digits", "asleep")
    if of_images:
        scene = scene_of(dataset, data_dir, classes, images, epochs, seed)
    else:
        scene = exclusive_or(images, seed)
    layers = 2 if sleeps or beside else 1
    size = (scene.inputs.shape[1], *[hidden] * layers, classes)
    generator = np.random.default_rng([seed, 7, *f"{protocol} {probe}".encode()])
    weights = [first_weights(size, seed, one) for one in range(networks)]
    if sleeps:
        result = sleeping.measured(protocol, probe, weights, scene, seed)
    elif beside or curve in CURVES:
        result = _curve(_variant(protocol, weights, control or VARIANTS[0], seed), scene)
    elif probe == "variant":
        names = [
            name
            for name in VARIANTS
            if name not in (ONLY_ALWAYS if protocol == "phases" else ONLY_PHASES)
        ]
        runs = [_run(_variant(protocol, weights, name, seed), scene, name) for name in names]
        result = _joined(runs, [float(VARIANTS.index(name)) for name in names])
        result = result.assign(variant=("value", names))
    elif probe == "slow":
        values = PROBES[probe]
        runs = [_approach(plastic_of(protocol, weights, 1, duration=one), scene) for one in values]
        result = _joined(runs, values)
    elif probe == "duration":
        values = PROBES[probe]
        runs = [_run(plastic_of(protocol, weights, 1, duration=value), scene) for value in values]
        result = _joined(runs, values)
    else:
        result = _sweep(protocol, probe, weights, scene, generator)
    lost = int((~np.isfinite(result["accuracy"].values)).sum())
    total = result["accuracy"].size
    return result.assign(
        measured=("value", np.ones(result.sizes["value"])),
        chance=float(np.bincount(scene.test_labels).max() / len(scene.test_labels)),
        n_test=len(scene.test_labels),
        status="converged" if not lost else f"diverged: {lost} of {total} networks",
    )


def _variant(protocol: str, weights: Sequence[Matrices], name: str, seed: int) -> Plastic:
    """The circuits of a protocol with one thing changed."""
    if name == CONTROLS[NO_HIDDEN]:
        size = weights[0][0][0].shape[1], weights[0][0][-1].shape[0]
        weights = [first_weights(size, seed, one) for one in range(len(weights))]
    if name == "transposed feedback":
        # equal at first and changed alike, B stays W^T: no transport of weights within the run
        weights = [(upward, [W.T for W in upward[1:]]) for upward, _ in weights]
    plastic = plastic_of(protocol, weights, 1)
    if name == CONTROLS[FROZEN]:
        still = np.zeros_like(plastic.layer_plasticity)
        still[:, -1] = 1
        return replace(plastic, layer_plasticity=still)
    if name == "fixed feedback":
        return replace(plastic, feedback_plasticity=np.zeros(len(weights)))
    if name == "instant own drive":
        return replace(plastic, own_drive="instant")
    if name == "early target":
        return replace(plastic, timing=replace(plastic.timing, teacher_stages=0))
    if name == "direct storage":
        return replace(plastic, storage="direct")
    return plastic


def _sweep(
    protocol: str,
    probe: str,
    weights: Sequence[Matrices],
    scene: Scene,
    generator: np.random.Generator,
) -> xr.Dataset:
    """All values of a probe in one run."""
    values = np.array(PROBES[probe])
    plastic = plastic_of(protocol, weights, len(values), step=FINE.get(probe, STEP))
    each = np.repeat(values, len(weights))
    if probe == "rate":
        plastic = replace(plastic, rates=plastic.rates * each / LEARNT)
    elif probe == "delay":
        plastic = replace(plastic, delays=each.astype(int))
    elif probe == "noise":
        plastic = replace(plastic, noise=each)
    else:
        # the same draws at every value, so that the values differ in nothing else
        apart = tuple(
            TAU
            * each[:, None]
            ** np.tile(generator.uniform(-1, 1, (len(weights), n)), (len(values), 1))
            for n in plastic.network.widths[1:]
        )
        if probe == "spread":
            plastic = replace(plastic, time_constants=apart, own_time_constants=apart)
        else:
            plastic = replace(plastic, own_time_constants=apart)
    shape = (len(values), len(weights))
    record = _record(plastic, scene, generator, STRETCHES)
    found = _measures(plastic, record, scene)
    found["learnt_cosine"] = learnt_cosines(plastic, record, scene.inputs, scene.targets)
    if probe == "rate":
        trainer = trained_by_updates(plastic, scene.inputs, scene.targets)
        found["trainer_accuracy"] = accuracies(
            trainer.network, scene.test_inputs, scene.test_labels
        )
        found["trainer_settled"] = trainer.settled
    return xr.Dataset(
        {name: (("value", "network"), one.reshape(shape)) for name, one in found.items()},
        coords={"value": values.astype(float), "network": np.arange(shape[1])},
    )


def _curve(plastic: Plastic, scene: Scene) -> xr.Dataset:
    """What is known after every so many images."""
    record = _record(plastic, scene, None, snapshots=12)
    found: dict[str, list[np.ndarray]] = {}
    for at in range(len(record.images)):
        for name, one in _measures(plastic, record, scene, at).items():
            found.setdefault(name, []).append(one)
    shown = np.array(record.images, dtype=float)
    return xr.Dataset(
        {name: (("value", "network"), np.stack(rows)) for name, rows in found.items()},
        coords={"value": shown, "network": np.arange(len(plastic.rates))},
    )


def _run(plastic: Plastic, scene: Scene, name: str = "") -> dict[str, np.ndarray]:
    """The measures of one run, each (networks,)."""
    if name == "shuffled targets":
        order = np.random.default_rng(len(scene.targets)).permutation(len(scene.targets))
        scene = replace(scene, targets=scene.targets[order])
    record = _record(plastic, scene, None, STRETCHES)
    turned = learnt_cosines(plastic, record, scene.inputs, scene.targets)
    return _measures(plastic, record, scene) | {"learnt_cosine": turned}


def _approach(plastic: Plastic, scene: Scene) -> dict[str, np.ndarray]:
    """How far from the trainer a slow circuit ends, and what else a run gives, each (networks,).

    The trainer makes several updates an image, so that their own size does not tell. Where tags
    hold back what is learnt until the next image, that is one update; the last one is still held.
    """
    held = plastic.storage == "captured"
    plastic = replace(plastic, rates=plastic.rates * SLOWLY / LEARNT)
    few = replace(scene, inputs=scene.inputs[:FEW], targets=scene.targets[:FEW])
    record = _record(plastic, few, None)
    learnt = FEW - 1 if held else FEW
    trainer = trained_by_updates(
        plastic, few.inputs[:learnt], few.targets[:learnt], updates=1 if held else UPDATES
    )
    last = with_weights(plastic.network, record.weights[-1], record.biases[-1])
    away = distances(last, trainer.network, plastic.network)
    return {**_measures(plastic, record, scene), "distance": away}


def _record(
    plastic: Plastic,
    scene: Scene,
    generator: np.random.Generator | None,
    snapshots: int = 1,
) -> PlasticRecord:
    from circuit.plastic import run_plastic

    return run_plastic(
        plastic, scene.inputs, scene.targets, snapshots=snapshots, generator=generator
    )


def _measures(
    plastic: Plastic, record: PlasticRecord, scene: Scene, at: int = -1
) -> dict[str, np.ndarray]:
    """What is known of every network at a snapshot."""
    network = with_weights(plastic.network, record.weights[at], record.biases[at])
    return {
        "accuracy": accuracies(network, scene.test_inputs, scene.test_labels),
        "alignment": alignments(network, record.feedback[at]),
    }


def _joined(runs: Sequence[dict[str, np.ndarray]], values: Sequence[float]) -> xr.Dataset:
    """Runs one under the other."""
    variables = {
        name: (("value", "network"), np.stack([run[name] for run in runs])) for name in runs[0]
    }
    count = len(next(iter(runs[0].values())))
    return xr.Dataset(variables, coords={"value": list(values), "network": np.arange(count)})
