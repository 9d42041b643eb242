"""Learning inside the circuit: weights are variables of the dynamics, images follow one another.

Owns the run of a plastic circuit through a stream of images, the snapshots of weights, and a
supervisor that may change weights between images.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from circuit.brian.library import (
    brian2,
    code_class,
    divergence_unsaid,
    require_runtime,
    run_steps,
    seeded,
    unsaid,
)
from circuit.checks.given import generator_of, require_count, require_kind
from circuit.errors import CircuitError
from circuit.plastic.circuit import Plastic, PlasticRecord, require_stream
from circuit.plastic.objects import PlasticPieces, make_plastic_pieces
from circuit.plastic.sleep import spontaneous_patterns

Weights = tuple[np.ndarray, ...]  # of layer after layer, each (R, n_post, n_pre)


def run_plastic(
    plastic: Plastic,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    snapshots: int = 1,
    generator: np.random.Generator | int | None = None,
    between: Callable[[Weights, Weights], tuple[Weights, Weights]] | None = None,
    codegen: str = "numpy",
) -> PlasticRecord:
    """Let the circuits learn from a stream of images: one run, in which only equations act.

    Parameters
    ----------
    inputs, targets, codegen : as in `make_plastic_pieces`
    snapshots
        How many times weights are recorded after the beginning: every ceil(images / snapshots)
        images, so less often where that is rounded up, and at the end, where the last distance may
        be shorter. By default at the end alone.
    generator
        Where the seed of the noise, and spontaneous activity, are drawn from. Needed if there is
        noise or sleep.
    between
        A supervisor outside the circuit, to compare with: from W_1 .. W_L and B_1 .. B_{L-1} after
        an image, those with which the next one begins. Not called after the last.

    Raises
    ------
    CircuitError

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import Network
    >>> from circuit.plastic import Plastic, Timing, run_plastic
    >>> W = np.array([[[0.6, 0.8]]]), np.array([[[1.0]]])
    >>> network = Network(W, (np.zeros((1, 1)),) * 2, ("leaky_relu",) * 2, n_inputs=2, n_outputs=1)
    >>> timing = Timing(step=0.002, free_steps=0, nudged_steps=50)  # of every image
    >>> feedback, rates, taus = (np.ones((1, 1, 1)),), np.array([2.0]), (np.full((1, 1), 0.01),) * 2
    >>> plastic = Plastic(network, feedback, rates, timing, 0.1, taus)
    >>> record = run_plastic(plastic, np.ones((20, 2)), np.full((20, 1), 2.0))
    >>> float(record.rates[-1][0, 0]) > 1.6  # from 1.4 towards the target of 2
    True
    """
    require_kind("plastic", plastic, Plastic)
    require_runtime()
    require_stream(plastic, inputs, targets)
    if generator is not None:
        generator = generator_of("generator", generator)
    if plastic.noise.any() and generator is None:
        raise CircuitError("noise needs a generator; give for example numpy.random.default_rng(1)")
    patterns: tuple[np.ndarray, ...] = ()
    if plastic.sleep is not None:
        if generator is None:
            raise CircuitError("sleep needs a generator; for example numpy.random.default_rng(1)")
        widths = plastic.network.widths
        patterns = spontaneous_patterns(plastic.sleep, widths, len(inputs), generator)
    require_count("snapshots", snapshots, 1, len(inputs))
    pieces = make_plastic_pieces(plastic, inputs, targets, patterns=patterns, codegen=codegen)
    every = -(-len(inputs) // snapshots)
    clock = brian2.Clock(dt=every * plastic.period * pieces.clock.dt, name="plastic_record_clock")
    synapses = (*pieces.feedforward, *pieces.feedback, *pieces.lateral)
    watched = [(one, "weight") for one in synapses]
    watched += [(group, "bias") for group in pieces.layers[1:]]
    monitors = [
        brian2.StateMonitor(
            group,
            variable,
            record=True,
            clock=clock,
            name=f"{group.name}_monitor",
            codeobj_class=code_class(codegen),
        )
        for group, variable in watched
    ]
    outside = [] if between is None else [_supervisor(pieces, between)]
    network = brian2.Network(*pieces.objects, *monitors, *outside, name="plastic_network*")
    began = time.perf_counter()
    with seeded(generator if plastic.noise.any() else None):
        steps = advance_plastic(network, pieces, len(inputs))
    seconds = time.perf_counter() - began
    shown = [*range(0, len(inputs), every), len(inputs)]
    found = []
    for (group, variable), monitor in zip(watched, monitors, strict=True):
        last = np.array(getattr(group, f"{variable}_")[:])
        # a copy: what a monitor gives may be a view of memory that goes with the monitor
        recorded = np.array(getattr(monitor, f"{variable}_").T[: len(shown) - 1])
        found.append([*recorded, last])
    ups, downs, across = map(len, (pieces.feedforward, pieces.feedback, pieces.lateral))

    def shaped(flat: Sequence[list[np.ndarray]], like: Sequence[np.ndarray]) -> tuple[Any, ...]:
        pairs = list(zip(flat, like, strict=True))
        return tuple(
            tuple(series[at].reshape(array.shape) for series, array in pairs)
            for at in range(len(shown))
        )

    widths = plastic.network.widths[1:]
    return PlasticRecord(
        images=tuple(shown),
        weights=shaped(found[:ups], plastic.network.weights),
        biases=shaped(found[ups + downs + across :], plastic.network.biases),
        feedback=shaped(found[ups : ups + downs], plastic.feedback),
        rates=tuple(
            np.array(group.y_[:]).reshape(-1, width)
            for group, width in zip(pieces.layers[1:], widths, strict=True)
        ),
        steps=steps,
        seconds=seconds,
        lateral=()
        if plastic.sleep is None
        else shaped(
            found[ups + downs : ups + downs + across],
            plastic.sleep.lateral_of(plastic.network.widths),
        ),
    )


def advance_plastic(network: brian2.Network, pieces: PlasticPieces, images: int) -> int:
    """Run a `Network` that holds the pieces for so many images; returns the Euler steps.

    After the end of the stream its last image stays. What ceases to be finite stays so, in its own
    circuit only. Raises what `library.run_steps` does.

    Examples
    --------
    >>> import brian2
    >>> import numpy as np
    >>> from circuit import Network
    >>> from circuit.plastic import Plastic, Timing, advance_plastic, make_plastic_pieces
    >>> W = np.array([[[0.6, 0.8]]]), np.array([[[1.0]]])
    >>> network = Network(W, (np.zeros((1, 1)),) * 2, ("leaky_relu",) * 2, n_inputs=2, n_outputs=1)
    >>> timing = Timing(step=0.002, free_steps=0, nudged_steps=50)  # of every image
    >>> feedback, rates, taus = (np.ones((1, 1, 1)),), np.array([2.0]), (np.full((1, 1), 0.01),) * 2
    >>> plastic = Plastic(network, feedback, rates, timing, 0.1, taus)
    >>> pieces = make_plastic_pieces(plastic, np.ones((3, 2)), np.ones((3, 1)))
    >>> advance_plastic(brian2.Network(pieces.objects), pieces, 3)  # images
    150
    """
    steps = images * pieces.plastic.period
    # Brian2 would speak of variables, and not of circuits; and of grids that are apart by rounding,
    # though images and patterns last for whole steps
    with divergence_unsaid(), unsaid("brian2.input.timedarray"):
        run_steps(network, pieces.clock, steps)
    return steps


def _supervisor(
    pieces: PlasticPieces, between: Callable[[Weights, Weights], tuple[Weights, Weights]]
) -> brian2.NetworkOperation:
    """What lets `between` change weights at the beginning of every image but the first."""
    plastic = pieces.plastic
    both = (pieces.feedforward, pieces.feedback)
    shapes = [[w.shape for w in plastic.network.weights], [B.shape for B in plastic.feedback]]

    def act() -> None:
        if clock.variables["timestep"].get_value().item() == 0:
            return
        found = [
            tuple(
                np.array(one.weight_[:]).reshape(shape)
                for one, shape in zip(group, of, strict=True)
            )
            for group, of in zip(both, shapes, strict=True)
        ]
        for group, changed in zip(both, between(found[0], found[1]), strict=True):
            for one, matrix in zip(group, changed, strict=True):
                one.weight = matrix.ravel()

    clock = brian2.Clock(dt=plastic.period * pieces.clock.dt, name="plastic_supervisor_clock")
    return brian2.NetworkOperation(act, clock=clock, when="start", name="plastic_supervisor")
