"""A training run on disk, so that it can go on where it was: one .npz file of plain arrays.

Owns the file format, and the refusal of files that are damaged, of another configuration or of
another version.

Members: `format`, `version`, `package` (version of this project), `configuration`, `surroundings`
and `generators` (JSON text); `epoch`, `batch`, `steps`; `W_1` .. `b_L`, the same of Adam's moments
and of the chosen networks with a word before them; `companion_` with the name and number of what
learns beside the network; `n_outputs`; `orders`, `sums`, `chosen_epochs`; `history_` and the names
of the history. Nothing is pickled. A file is replaced whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from analysis.records import versions
from circuit.checks.words import shortened
from circuit.errors import CircuitError
from circuit.learning.step import Learner, Moments
from circuit.network import Network
from circuit.numerics.arrays import Array, to_numpy
from circuit.peers.own import code_of
from circuit.storage.files import write_atomically
from circuit.storage.networks import arrays_of
from circuit.units.table import activation
from training.epochs import State
from training.measures import BY_EPOCH, BY_LAYER
from training.plan import Material, Plan, placed
from training.wholeness import require_whole

FORMAT = "gait-circuit training"
VERSION = 3
NESTED = 3  # the version since which a configuration has the parts of a lesson in parts
REMEDY = "remove it to begin anew, or give another --output"
COMPANION = "companion_"
BIT_FOR_BIT = ("python", "numpy", "scipy", "torch", "blas", "device")  # what also decides rounding

Configuration = Mapping[str, Any]  # plain values


def configuration(plan: Plan, dataset: str, digest: str) -> Configuration:
    """What a checkpoint must agree in: the plan, and the images by name and digest."""
    values = asdict(plan)
    lesson = values.pop("lesson")  # with its parts as they are nested, none of them twice alike
    if lesson["settings"] is None:
        del lesson["settings"]  # of a rule that has none of its own
    if code := code_of(plan.lesson.rule):
        lesson["code"] = code  # a rule of one's own may have been written anew
    if not plan.auxiliary or plan.widths[0] == plan.widths[1]:
        del values["whole_input"]  # which decides nothing there
    described: Configuration = json.loads(
        json.dumps(lesson | values | {"dataset": dataset, "images": digest})
    )
    return described


@cache  # looking it up takes longer than writing a small checkpoint
def surroundings(device: str | None) -> dict[str, str]:
    """Version of the project, and what else decides rounding: libraries, threads of BLAS."""
    known = versions()
    found = {name: known[name] for name in ("python", "numpy", "scipy")}
    found["package"] = known["gait-circuit"]
    pools = threadpool_info()
    found["blas"] = ", ".join(
        sorted({f"{pool['num_threads']} threads on {pool.get('architecture')}" for pool in pools})
    )
    if device is not None:
        import torch

        found["torch"] = str(torch.__version__)
        on_gpu = device.startswith("cuda")
        found["device"] = (
            torch.cuda.get_device_name(device) if on_gpu else f"{torch.get_num_threads()} threads"
        )
    return found


def save(path: Path, state: State, plan: Plan, configured: Configuration) -> None:
    """Write `state`, which must be at rest.

    Raises
    ------
    CircuitError
        Where the file cannot be written; an older one is then still there.
    """
    if not state.at_rest:
        raise CircuitError("only a state at rest can be saved; it would not go on bit for bit")
    learner, moments = state.learner, state.learner.moments
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "package": surroundings(plan.device)["package"],
        "configuration": json.dumps(configured),
        "surroundings": json.dumps(surroundings(plan.device)),
        "generators": json.dumps(state.generators),
        "epoch": state.epoch,
        "batch": state.batch,
        "steps": learner.steps,
        "n_outputs": learner.network.n_outputs,
        "orders": state.orders.astype(np.int32),
        "chosen_epochs": state.chosen_epochs,
        "sums": np.stack([to_numpy(total) for total in state.sums]),
    }
    for word, weights, biases in (
        ("", learner.network.weights, learner.network.biases),
        ("first_", moments.first_weights, moments.first_biases),
        ("second_", moments.second_weights, moments.second_biases),
        ("chosen_", state.chosen.weights, state.chosen.biases),
    ):
        arrays |= _numbered(f"{word}W", weights) | _numbered(f"{word}b", biases)
    for name, values in learner.companions.items():
        arrays |= _numbered(f"{COMPANION}{name}", values)
    arrays |= {f"history_{name}": values for name, values in state.history.items()}
    remedy = "make room, or give another --output"
    write_atomically(path, lambda name: np.savez(name, allow_pickle=False, **arrays), remedy=remedy)


def load(
    path: Path, plan: Plan, configured: Configuration, material: Material
) -> tuple[State, list[str]]:
    """The state in the file, and in words what of the surroundings has changed since.

    Raises
    ------
    CircuitError
        In one line, for a file that is damaged, of another kind, version or configuration, or that
        no run of this plan with this material can have written.
    """
    with arrays_of(path, "checkpoint", REMEDY) as members:
        differs = _difference(members, configured)
        if differs is None:
            state, changes = _state(members, plan), _changes(members, plan)
            require_whole(state, plan, material)
            return state, changes
    raise CircuitError(
        f"checkpoint {path} is of another configuration: {differs}; give the options that it was "
        "made with, or another --output"
    )


def _difference(members: Mapping[str, np.ndarray], configured: Configuration) -> str | None:
    """In which setting a file of this format and version differs, in words; None if in none."""
    if str(members["format"]) != FORMAT:
        raise ValueError(f"its format is {str(members['format'])[:40]!r}, not {FORMAT!r}")
    version, package = _count(members, "version"), str(members["package"])
    here = surroundings(None)["package"]
    if (version, package) != (VERSION, here):
        flat = ", whose settings of a lesson are not nested" if version < NESTED else ""
        raise ValueError(
            f"it is of version {version}{flat}, written by gait-circuit {package}; "
            f"this is gait-circuit {here}, which reads version {VERSION}"
        )
    return _first_apart("", json.loads(str(members["configuration"])), configured)


def _first_apart(what: str, saved: object, here: object) -> str | None:
    """In which value two configurations, or parts of them that are called `what`, differ."""
    if saved == here:
        return None
    if not (isinstance(saved, Mapping) and isinstance(here, Mapping)):
        return f"{what} is {_short(saved)} there and {_short(here)} here"
    apart = (
        _first_apart(f"{what} {name.replace('_', ' ')}".strip(), saved.get(name), here.get(name))
        for name in sorted({*saved, *here})
    )
    return next(filter(None, apart))


def _state(members: Mapping[str, np.ndarray], plan: Plan) -> State:
    layers = len(plan.widths) - 1
    n_outputs = _count(members, "n_outputs")
    units = tuple(map(activation, plan.activations))

    def parts(word: str) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        weights, biases = (
            placed([members[f"{word}{letter}_{layer}"] for layer in range(1, layers + 1)], plan)
            for letter in "Wb"
        )
        return weights, biases

    def network(word: str) -> Network:
        weights, biases = parts(word)
        return Network(weights, biases, units, plan.widths[0], n_outputs)

    moments = Moments(*parts("first_"), *parts("second_"))
    first, right, settled = placed(list(members["sums"]), plan)
    return State(
        learner=Learner(network(""), moments, _count(members, "steps"), _companions(members, plan)),
        epoch=_count(members, "epoch"),
        batch=_count(members, "batch"),
        orders=members["orders"],
        generators=tuple(json.loads(str(members["generators"]))),
        sums=(first, right, settled),
        history={name: members[f"history_{name}"] for name in (*BY_EPOCH, *BY_LAYER)},
        chosen=network("chosen_"),
        chosen_epochs=members["chosen_epochs"],
        at_rest=True,
    )


def _count(members: Mapping[str, np.ndarray], name: str) -> int:
    """A member that is one whole number. Raises `ValueError` for any other."""
    value = members[name]
    if value.shape != () or value.dtype.kind not in "iu":
        raise ValueError(f"its {name} is no whole number but {value.dtype} {value.shape}")
    return int(value)


def _companions(members: Mapping[str, np.ndarray], plan: Plan) -> dict[str, tuple[Array, ...]]:
    """What learns beside the network, by name, in the order of its numbers."""
    numbers: dict[str, list[int]] = {}
    for member in members:
        if member.startswith(COMPANION):
            name, number = member.removeprefix(COMPANION).rsplit("_", 1)
            numbers.setdefault(name, []).append(int(number))
    return {
        name: placed([members[f"{COMPANION}{name}_{i}"] for i in sorted(found)], plan)
        for name, found in numbers.items()
    }


def _changes(members: Mapping[str, np.ndarray], plan: Plan) -> list[str]:
    """What decides rounding and is not as it was."""
    before, now = json.loads(str(members["surroundings"])), surroundings(plan.device)
    return [
        f"{name} {before.get(name)} is now {now.get(name)}"
        for name in BIT_FOR_BIT
        if before.get(name) != now.get(name)
    ]


def _numbered(name: str, arrays: tuple[Array, ...]) -> dict[str, np.ndarray]:
    return {f"{name}_{layer}": to_numpy(array) for layer, array in enumerate(arrays, 1)}


def _short(value: object) -> str:
    return "left out" if value is None else shortened(str(value), 100)
