"""Settle a circuit on real images and see whether its equilibrium carries the targets of GAIT-prop.

The main command. Owns the way from images to a table, a verdict, figures and files. Exit status: 0
if the circuit settled and its update is the one that its pathway stands for, within a bound that is
stated; 1 if not; 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in {None, ""}:  # run as a file, from any folder, installed or not
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.options import OneLineParser, fail, parse

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from analysis.report import Report
    from circuit.dynamics import Trial
    from circuit.equilibrium import Equilibrium

PROGRAM = "run_equilibrium"


def options() -> OneLineParser:
    """All options of the command, each explained in words."""
    parser = OneLineParser(
        prog=PROGRAM,
        description="Settle a circuit with weak feedback on real images, its input clamped and its "
        "output nudged, and compare the weight changes that its equilibrium carries with those of "
        "GAIT-prop, ITP, target propagation and back-propagation.",
        epilog="Exit status: 0 the circuit settled and carries the update of the rule that its "
        "pathway stands for; 1 it did not; 2 bad input.",
    )
    add = parser.add_argument
    add(
        "--dataset",
        choices=("digits", "mnist", "fashion_mnist", "kmnist"),
        default="digits",
        help="images to clamp; digits (8x8) ship with scikit-learn (default: digits)",
    )
    add(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="folder with mnist.npz, fashion_mnist.npz, kmnist.npz; without it, the folder in "
        "GAIT_CIRCUIT_DATA, or a download from openml.org",
    )
    add("--batch", type=_whole, default=60, help="number of images (default: 60)")
    add(
        "--depth",
        type=_whole_or_none,
        default=3,
        help="number of hidden layers, each as wide as the image (default: 3)",
    )
    add(
        "--widths",
        type=_whole,
        nargs="+",
        metavar="N",
        help="units of every layer, input first, not increasing; replaces --depth",
    )
    add(
        "--init",
        choices=("orthogonal", "gaussian"),
        default="orthogonal",
        help="random weights; only with orthogonal ones does GAIT-prop equal back-propagation "
        "(default: orthogonal)",
    )
    add(
        "--activation",
        choices=("leaky_relu", "linear", "asinh", "tanh"),
        default="leaky_relu",
        help="activation function of all units (default: leaky_relu, slope 0.1)",
    )
    add(
        "--pathway",
        choices=("itp", "gait"),
        default="gait",
        help="what a layer sends down: itp its rates through the inverse, gait its deviation "
        "scaled by its squared slope (default: gait)",
    )
    add(
        "--gamma",
        type=_number,
        nargs="+",
        default=[0.01],
        metavar="G",
        help="feedback strength, between 0 and 1: one for all layers, or one per layer with the "
        "output last (default: 0.01)",
    )
    add(
        "--nudge",
        type=_number,
        metavar="G",
        help="strength with which the output is drawn to its target (default: as --gamma)",
    )
    add(
        "--loss",
        choices=("quadratic", "cross_entropy"),
        default="quadratic",
        help="loss whose gradient makes the target (default: quadratic)",
    )
    add(
        "--method",
        choices=("direct", "sweep", "newton", "ode", "brian2"),
        default="direct",
        help="how the equilibrium is found; see docs/numerics.md (default: direct)",
    )
    add(
        "--readout",
        choices=("shift", "mismatch"),
        default="shift",
        help="what a synapse learns from: the shift of its layer from the free phase, or the "
        "mismatch of its layer with its own drive (default: shift)",
    )
    add(
        "--precision",
        choices=("float64", "float32"),
        default="float64",
        help="of all numbers but Brian2's, which are float64 (default: float64)",
    )
    add(
        "--tolerance",
        type=_number,
        metavar="R",
        help="relative residual to reach in every layer of every image (default: 1e-10 in float64, "
        "4e-5 in float32)",
    )
    add("--seed", type=_whole_or_none, default=1, help="of images and weights (default: 1)")
    add(
        "--output",
        type=Path,
        default=Path("results/equilibrium"),
        metavar="DIR",
        help="folder for figures, equilibrium.nc and summary.json (default: results/equilibrium)",
    )
    add("--no-brian2", action="store_true", help="leave out the simulation by Brian2")
    add(
        "--brian2-images",
        type=_whole,
        default=4,
        metavar="N",
        help="images that Brian2 simulates, the first of the batch (default: 4)",
    )
    add("--no-figures", action="store_true", help="leave out the figures")
    add("--pdf", action="store_true", help="save figures as PDF too")
    add("--quiet", action="store_true", help="print the verdict only")
    add("--config", metavar="FILE.toml", help="TOML file with any of these options")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    began = time.perf_counter()
    chosen = parse(options(), arguments)
    from circuit.errors import CircuitError
    from models.images import ImageError

    try:
        return run(chosen, began)
    except (CircuitError, ImageError) as error:
        fail(PROGRAM, str(error))
    except MemoryError as error:
        fail(PROGRAM, f"{error}; use a smaller --batch or narrower --widths")
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; nothing was overwritten", file=sys.stderr)
        return 130


def run(chosen: argparse.Namespace, began: float) -> int:
    """Everything between the options and the exit status."""
    import numpy as np

    from analysis import records
    from analysis.figures import canvas
    from analysis.figures.equilibrium import EQUILIBRIUM
    from analysis.report import as_dataset, report, tables
    from circuit.equilibrium import settle

    say = (lambda *_, **__: None) if chosen.quiet else print
    seconds = {"start": time.perf_counter() - began}
    folder = records.output_folder(chosen.output)
    images_rng, weights_rng, synapses_rng = np.random.default_rng(chosen.seed).spawn(3)

    clock = time.perf_counter()
    trial, labels = make_trial(chosen, images_rng, weights_rng)
    seconds["load"] = time.perf_counter() - clock
    say(_description(chosen, trial))

    record = settle(trial, chosen.method, tolerance=chosen.tolerance, must_converge=False)
    seconds["settle"] = record.seconds
    say(
        f"{record.method}: {record.status.value} in {record.seconds:.3f} s "
        f"({record.steps} steps, {record.evaluations} passes over the layers)"
    )
    found = report(record, chosen.readout)
    dataset = as_dataset(found, synapses_rng)
    dataset["label"] = ("sample", labels.astype("i4"))

    clock = time.perf_counter()
    brian2 = None
    if record.converged and not chosen.no_brian2:
        brian2, simulated = simulate(record, chosen.brian2_images)
        dataset = dataset.merge(simulated, combine_attrs="no_conflicts")
        seconds["brian2"] = time.perf_counter() - clock
        say(
            f"Brian2: {chosen.brian2_images} image(s), {simulated.attrs['brian2_steps']} steps in "
            f"{seconds['brian2']:.1f} s"
        )
    elif record.converged and not chosen.no_figures:
        dataset = dataset.merge(integrate(record), combine_attrs="no_conflicts")

    say("", tables(found, brian2), "", sep="\n")
    for remark in found.remarks:
        say(remark)
    verdict = found.verdict + _brian2_words(brian2)
    print(verdict)

    dataset.attrs |= {"verdict": verdict, "seed": chosen.seed, "config": str(_config(chosen))}
    dataset.attrs |= {f"version_{name}": number for name, number in records.versions().items()}
    records.write_dataset(folder / "equilibrium.nc", dataset)
    clock = time.perf_counter()
    if not chosen.no_figures:
        canvas.draw(EQUILIBRIUM, dataset, folder, pdf=chosen.pdf)
    seconds["figures"] = time.perf_counter() - clock
    seconds["total"] = time.perf_counter() - began
    summary = summarise(chosen, found, brian2, verdict, seconds)
    records.write_json(folder / "summary.json", summary)
    say(f"Written to {folder} in {seconds['total']:.1f} s in all.")
    return 0 if found.agrees else 1


def make_trial(
    chosen: argparse.Namespace, images_rng: np.random.Generator, weights_rng: np.random.Generator
) -> tuple[Trial, np.ndarray]:
    """Images, network and circuit of the options; returns the trial and the labels.

    Raises `CircuitError` or `ImageError`.
    """
    from circuit.dynamics import begin, build_circuit
    from circuit.errors import CircuitError
    from circuit.network import initialise
    from models import images

    data = images.load(chosen.dataset, data_dir=chosen.data_dir, dtype=chosen.precision)
    data = images.batch(data, chosen.batch, images_rng)
    pixels = data.inputs.shape[1]
    widths = chosen.widths or [pixels] * (chosen.depth + 2)
    if widths[0] != pixels:
        raise CircuitError(
            f"widths begin with {widths[0]}, the images of {chosen.dataset} have {pixels} pixels; "
            f"begin --widths with {pixels}"
        )
    if widths[-1] < data.n_classes:
        raise CircuitError(
            f"the output layer has {widths[-1]} units for {data.n_classes} classes; "
            f"end --widths with {data.n_classes} or more"
        )
    network = initialise(
        widths,
        weights_rng,
        init=chosen.init,
        activation=chosen.activation,
        n_outputs=data.n_classes,
        dtype=chosen.precision,
    )
    strength = chosen.gamma[0] if len(chosen.gamma) == 1 else chosen.gamma
    circuit = build_circuit(network, chosen.pathway, strength, nudge=chosen.nudge)
    targets = images.one_hot(data.labels, data.n_classes, chosen.precision)
    return begin(circuit, data.inputs, targets, chosen.loss), data.labels


def simulate(record: Equilibrium, n_images: int) -> tuple[list[tuple[float, float]], xr.Dataset]:
    """The first images in Brian2: per layer (relative error, float64 floor), and trajectories."""
    import numpy as np
    import xarray as xr

    from circuit import brian
    from circuit.arrays import epsilon
    from circuit.dynamics import in_float64
    from circuit.equilibrium import settle

    n_images = min(n_images, record.trial.error.shape[0])
    trial = in_float64(record.trial.samples(range(n_images)))
    # settled as far as float64 goes, or the comparison would show the tolerance and not Brian2
    shifts = settle(trial, tolerance=10 * epsilon(trial.error), must_converge=False).shifts
    built = brian.build(trial, record=None)
    phases = brian.run_phases(built)
    floors = brian.float_floor(trial, shifts)
    comparison, log10_error = [], []
    for layer, simulated in enumerate(phases.shifts, 1):
        n = trial.network.n_projecting(layer)
        exact = shifts.absolute(layer)[:, :n]
        gap = float(np.linalg.norm(simulated[:, :n] - exact))
        comparison.append((gap / max(float(np.linalg.norm(exact)), 1e-300), floors[layer - 1]))
        log10_error.append(np.log10(max(gap / np.sqrt(n_images), 1e-300)))
    rates = [values[:, 0, :] for values in phases.rates]
    is_free = phases.times < phases.onset
    dataset = _trajectories(
        record,
        1e3 * phases.times[is_free],
        1e3 * (phases.times[~is_free] - phases.onset),
        [values[is_free] for values in rates],
        [values[~is_free] for values in rates],
        [values[0] for values in phases.free_rates],
    )
    dataset["log10_brian2_error"] = ("layer", np.array(log10_error))
    dataset["brian2_relative_error"] = ("layer", np.array([error for error, _ in comparison]))
    dataset["brian2_float_floor"] = ("layer", np.array([floor for _, floor in comparison]))
    dataset.attrs = {"trajectories": "Brian2", "brian2_steps": phases.steps}
    assert isinstance(dataset, xr.Dataset)
    return comparison, dataset


def integrate(record: Equilibrium) -> xr.Dataset:
    """Trajectories of the first image by SciPy, for the figure when Brian2 is left out."""
    import numpy as np

    from circuit.methods import ode

    trial = record.trial.samples([0])
    tau = max(trial.circuit.time_constants)
    times = np.linspace(0.05, 20, 200) * tau
    free = [values[:, 0] for values in ode.free_phase(trial, times)]
    states, _ = ode.integrate(trial, trial.at_rest(), times)
    rest = [rates[0] for rates in trial.activity.rates[1:]]
    nudged = [
        np.stack([rest[layer - 1] + state.absolute(layer)[0] for state in states])
        for layer in range(1, trial.network.depth + 1)
    ]
    dataset = _trajectories(record, 1e3 * times, 1e3 * times, free, nudged, rest)
    dataset.attrs = {"trajectories": "SciPy"}
    return dataset


def _trajectories(
    record: Equilibrium,
    free_time: np.ndarray,
    nudged_time: np.ndarray,
    free: Sequence[np.ndarray],
    nudged: Sequence[np.ndarray],
    rest: Sequence[np.ndarray],
) -> xr.Dataset:
    """Rates (time, unit) of the units of each layer whose shifts are largest in the first image."""
    import numpy as np
    import xarray as xr

    variables: dict[str, Any] = {}
    for layer in range(1, len(free) + 1):
        n = record.trial.network.n_projecting(layer)
        sizes = np.abs(record.shifts.values[layer - 1][0, :n])
        units = np.sort(np.argsort(sizes)[::-1][:8])
        shown = f"shown_{layer}"
        variables[f"free_rate_{layer}"] = (("free_time", shown), free[layer - 1][:, units])
        variables[f"nudged_rate_{layer}"] = (("nudged_time", shown), nudged[layer - 1][:, units])
        variables[f"rest_rate_{layer}"] = (shown, rest[layer - 1][units])
        variables[shown] = (shown, units.astype("i4"))
    coordinates = {
        "free_time": ("free_time", free_time, {"units": "ms"}),
        "nudged_time": ("nudged_time", nudged_time, {"units": "ms"}),
    }
    return xr.Dataset(variables, coords=coordinates)


def summarise(
    chosen: argparse.Namespace,
    found: Report,
    brian2: list[tuple[float, float]] | None,
    verdict: str,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The content of summary.json."""
    from dataclasses import asdict

    from analysis.records import versions

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
        "config": _config(chosen),
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


def _config(chosen: argparse.Namespace) -> dict[str, Any]:
    return {
        key: str(value) if isinstance(value, Path) else value for key, value in vars(chosen).items()
    }


def _description(chosen: argparse.Namespace, trial: Trial) -> str:
    widths = "-".join(map(str, trial.network.widths))
    strengths = sorted(set(trial.circuit.strengths))
    gamma = ", ".join(f"{value:g}" for value in strengths)
    return (
        f"{trial.error.shape[0]} images of {chosen.dataset}, layers {widths} "
        f"({trial.network.n_outputs} outputs with a target), {chosen.init} weights, "
        f"{chosen.activation}, {chosen.pathway} pathway, gamma {gamma}, {chosen.precision}"
    )


def _brian2_words(brian2: list[tuple[float, float]] | None) -> str:
    if brian2 is None:
        return ""
    worst = max(error for error, _ in brian2)
    ratio = max(error / floor for error, floor in brian2)
    return (
        f" Brian2 finds the same shifts to a relative {worst:.1g}, {ratio:.1f} times what float64 "
        "leaves of a difference of rates."
    )


def _whole(text: str) -> int:
    return _checked(text, int, 1)


def _whole_or_none(text: str) -> int:
    return _checked(text, int, 0)


def _number(text: str) -> float:
    return _checked(text, float, float("-inf"))


def _checked(text: str, kind: type, least: float) -> Any:
    try:
        value = kind(text)
    except ValueError:
        word = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"{text!r} is no {word}") from None
    if not value >= least:
        raise argparse.ArgumentTypeError(f"{text} is too small; give {least:g} or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
