"""What plastic circuits have learnt, and the trainer beside them that makes one update an image.

Owns measures of a `circuit.plastic.circuit.Plastic` and of its weights.

The trainer is what a plastic circuit becomes where plasticity is slow: it lets rates settle with
weights that stand still, takes the local update of `circuit.plasticity` there, and goes on to the
next image. Arrays are (R, ...), R circuits side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from circuit.network import Network
from circuit.plastic.circuit import Plastic, PlasticRecord
from circuit.plasticity import local_update

Layers = tuple[np.ndarray, ...]

SWEEPS = 400  # Euler steps of half a time constant in which rates may settle
TOLERANCE = 1e-8  # of a rate's last step, beside the largest rate and in units of the gain


@dataclass(frozen=True, eq=False)
class Trained:
    """Where the trainer ends.

    Attributes
    ----------
    network : the stack of networks
    feedback : L-1 arrays (R, N_l, N_{l+1})
    settled : array (R,), the fraction of images at which the rates came to rest
    """

    network: Network
    feedback: Layers
    settled: np.ndarray


def trained_by_updates(
    plastic: Plastic, inputs: np.ndarray, targets: np.ndarray, *, updates: int = 1
) -> Trained:
    """One update an image, of the size that the circuit's plasticity makes of it at rest.

    Parameters
    ----------
    inputs : array (images, N_0)
    targets : array (images, n_outputs)
    updates : so many in a row for each image instead, each as much smaller
    """
    timing, network = plastic.timing, plastic.network
    rates = plastic.rates[:, None] * plastic.layer_plasticity
    taught = (rates * timing.nudged_steps * timing.step / updates).T[..., None]
    kept = (1 - plastic.decay * rates * timing.steps * timing.step / updates).T[..., None, None]
    inputs, targets = (np.repeat(array, updates, axis=0) for array in (inputs, targets))
    feedback, settled = plastic.feedback, np.zeros(len(plastic.rates))
    with np.errstate(all="ignore"):  # what overflows stays so, and is seen at the end
        for image, target in zip(inputs, targets, strict=True):
            now = replace(plastic, network=network, feedback=feedback)
            at, at_rest = settled_rates(now, image, target)
            weights, biases, downward = updates_at(now, at)
            settled += at_rest
            feedback = tuple(
                np.where(learns, (B * keep + scale[..., None] * dB), B)
                for B, dB, keep, scale in zip(feedback, downward, kept[1:], taught[1:], strict=True)
                for learns in [plastic.feedback_plasticity[:, None, None] > 0]
            )
            network = _with(
                network,
                tuple(
                    W * keep + scale[..., None] * dW
                    for W, dW, keep, scale in zip(
                        network.weights, weights, kept, taught, strict=True
                    )
                ),
                tuple(
                    b + scale * db
                    for b, db, scale in zip(network.biases, biases, taught, strict=True)
                ),
            )
    return Trained(network, feedback, settled / len(inputs))


def settled_rates(
    plastic: Plastic, image: np.ndarray, target: np.ndarray
) -> tuple[Layers, np.ndarray]:
    """Rates y_0 .. y_L, arrays (R, N_l), in the nudged equilibrium; (R,) whether it was reached.

    Euler steps of half a time constant from the forward pass on, weights standing still. Not
    `circuit.settle`, which refuses a stack in which one circuit's weights are no longer finite:
    those that have diverged stand beside the others here.
    """
    network, depth, gamma = plastic.network, plastic.network.depth, plastic.strength
    count = len(plastic.rates)
    shown = np.broadcast_to(image, (count, image.size))
    rates = list(_forward(network, shown))
    pull = np.zeros_like(rates[-1])
    going = np.ones(count, dtype=bool)
    for _ in range(SWEEPS):
        drives, responses, slopes = _answers(network, rates)
        change = []
        for layer in range(1, depth + 1):
            mismatch = rates[layer] - responses[layer - 1]
            if layer == depth:
                pull = np.zeros_like(mismatch)
                n = network.n_outputs
                pull[:, :n] = gamma * (target - responses[-1][:, :n])
            else:
                unit = network.activation(layer + 1)
                upper = rates[layer + 1] - responses[layer]
                if plastic.pathway == "grait":
                    upper = upper * network.squared_lengths(layer + 1)
                sent = responses[layer] + slopes[layer] ** 2 * upper
                message = unit.inverse(sent) - drives[layer]
                pull = gamma * (mismatch + _times(plastic.feedback[layer - 1], message))
            change.append(0.5 * (pull - mismatch))
        rates = [rates[0], *(y + dy for y, dy in zip(rates[1:], change, strict=True))]
        worst = np.max(
            [
                np.abs(dy).max(axis=-1) / gain
                for dy, gain in zip(change, plastic.gains, strict=True)
            ],
            axis=0,
        )
        going = ~(worst <= TOLERANCE * (1 + np.abs(rates[-1]).max(axis=-1)))
        if not (going & np.isfinite(worst)).any():
            break
    return tuple(rates), ~going


def updates_at(plastic: Plastic, rates: Layers) -> tuple[Layers, Layers, Layers]:
    """Changes of W_l, b_l and B_l for learning rate 1, from rates (R, N_l) at rest."""
    network = plastic.network
    _, responses, slopes = _answers(network, list(rates))
    free = _forward(network, rates[0])
    weights, biases, teaching = [], [], []
    for layer in range(1, network.depth + 1):
        still = responses[layer - 1] if plastic.readout == "mismatch" else free[layer]
        signal = (rates[layer] - still) / plastic.gains[layer - 1]
        change = local_update(
            slopes[layer - 1][:, None], signal[:, None], rates[layer - 1][:, None]
        )
        weights.append(change.weights)
        biases.append(change.biases)
        teaching.append(slopes[layer - 1] * signal)
    downward = tuple(
        rates[layer][:, :, None] * teaching[layer][:, None, :] for layer in range(1, network.depth)
    )
    return tuple(weights), tuple(biases), downward


def accuracies(network: Network, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fraction of images (R,) whose largest output in the forward pass, which is the free phase at
    rest, is that of their label. NaN where a network is not finite.
    """
    with np.errstate(all="ignore"):
        shown = np.broadcast_to(inputs, (len(network.weights[0]), *inputs.shape))
        outputs = _forward(network, shown)[-1][..., : network.n_outputs]
    right = (np.argmax(outputs, axis=-1) == labels).mean(axis=-1)
    return np.where(np.isfinite(outputs).all(axis=(1, 2)), right, np.nan)


def with_weights(
    network: Network, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]
) -> Network:
    """The same networks with other weights, which need not be finite."""
    return _with(network, tuple(weights), tuple(biases))


def alignments(network: Network, feedback: Layers) -> np.ndarray:
    """Cosine of B_l with W_{l+1}^T, all layers together, (R,); NaN where not finite."""
    if not feedback:
        return np.full(len(network.weights[0]), np.nan)  # nothing is sent down
    with np.errstate(all="ignore"):
        pairs = list(zip(feedback, network.weights[1:], strict=True))
        turned = [np.swapaxes(W, -1, -2) for _, W in pairs]
        product = sum((B * W).sum(axis=(1, 2)) for (B, _), W in zip(pairs, turned, strict=True))
        one = sum((B * B).sum(axis=(1, 2)) for B, _ in pairs)
        other = sum((W * W).sum(axis=(1, 2)) for W in turned)
        return np.asarray(product / np.sqrt(one * other))


def gradients(network: Network, inputs: np.ndarray, targets: np.ndarray) -> Layers:
    """Minus the gradients of the squared loss in W_1 .. W_L, summed over images, (R, N_l, N_{l-1}).

    Parameters
    ----------
    inputs : array (images, N_0)
    targets : array (images, n_outputs)
    """
    rates, slopes = [np.broadcast_to(inputs, (len(network.weights[0]), *inputs.shape))], []
    for W, b, unit in zip(network.weights, network.biases, network.activations, strict=True):
        drives = rates[-1] @ np.swapaxes(W, -1, -2) + b[:, None]
        rates.append(unit.value(drives))
        slopes.append(unit.slope(drives))
    error = np.zeros_like(rates[-1])
    error[..., : network.n_outputs] = targets - rates[-1][..., : network.n_outputs]
    found = []
    for at in range(network.depth - 1, -1, -1):
        error = slopes[at] * error
        found.append(np.swapaxes(error, -1, -2) @ rates[at])
        error = error @ network.weights[at]
    return tuple(found[::-1])


def learnt_cosines(
    plastic: Plastic, record: PlasticRecord, inputs: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Cosine of what a stretch of the stream has changed in W_1 with what back-propagation would,
    the mean over the stretches between snapshots, (R,).

    Of the change the decay is undone. Back-propagation's is the sum over the images of the stretch
    at the weights with which it begins. Noise, delays and whatever else the circuit has are in it.
    NaN of a network that does not change, or is not finite.
    """
    seconds = plastic.timing.step * plastic.period
    late = int(plastic.storage == "captured")  # an image's tags enter the weights with the next one
    found = []
    with np.errstate(all="ignore"):
        for at, (begin, end) in enumerate(pairwise(record.images)):
            kept = np.exp(-plastic.decay * plastic.rates * seconds * (end - begin))
            before, after = record.weights[at][0], record.weights[at + 1][0]
            change = after - kept[:, None, None] * before
            change = np.where(plastic.layer_plasticity[:, :1, None] > 0, change, 0.0)
            shown = slice(max(begin - late, 0), end - late)
            network = with_weights(plastic.network, record.weights[at], record.biases[at])
            exact = gradients(network, inputs[shown], targets[shown])[0]
            along = (change * exact).sum(axis=(1, 2))
            found.append(
                along / np.sqrt((change**2).sum(axis=(1, 2)) * (exact**2).sum(axis=(1, 2)))
            )
        return np.mean(found, axis=0)


def update_cosines(plastic: Plastic, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Cosine of the updates of W_1 .. W_L that the circuit carries at rest with those of
    back-propagation, (R, L).

    Both are sums over the images, those at which the circuit came to rest; NaN where at none.

    Parameters
    ----------
    inputs : array (images, N_0)
    targets : array (images, n_outputs)
    """
    network, count = plastic.network, len(plastic.rates)
    carried = [np.zeros_like(W) for W in network.weights]
    exact = [np.zeros_like(W) for W in network.weights]
    with np.errstate(all="ignore"):
        for image, target in zip(inputs, targets, strict=True):
            rates, at_rest = settled_rates(plastic, image, target)
            changes, _, _ = updates_at(plastic, rates)
            free = _forward(network, np.broadcast_to(image, (count, image.size)))
            _, responses, slopes = _answers(network, list(free))
            error = np.zeros_like(responses[-1])
            error[:, : network.n_outputs] = target - responses[-1][:, : network.n_outputs]
            for at in range(network.depth - 1, -1, -1):
                error = slopes[at] * error
                rested = at_rest[:, None, None]
                exact[at] += np.where(rested, error[:, :, None] * free[at][:, None, :], 0)
                carried[at] += np.where(rested, changes[at], 0)
                error = _times(np.swapaxes(network.weights[at], -1, -2), error)
        found = [
            (one * other).sum(axis=(1, 2))
            / np.sqrt((one * one).sum(axis=(1, 2)) * (other * other).sum(axis=(1, 2)))
            for one, other in zip(carried, exact, strict=True)
        ]
    return np.stack(found, axis=-1)


def distances(found: Network, other: Network, start: Network) -> np.ndarray:
    """|W - W'| beside |W' - W_start|, all layers together, (R,)."""

    def size(one: Network, two: Network) -> np.ndarray:
        parts = [
            ((a - b) ** 2).reshape(len(a), -1).sum(axis=1)
            for a, b in zip((*one.weights, *one.biases), (*two.weights, *two.biases), strict=True)
        ]
        return np.asarray(np.sqrt(np.sum(parts, axis=0)))

    with np.errstate(all="ignore"):
        return np.asarray(size(found, other) / size(other, start))


def _with(network: Network, weights: Layers, biases: Layers) -> Network:
    """Without the checks of a new network, which refuse what has diverged."""
    changed = object.__new__(Network)
    kept = {"activations", "n_inputs", "n_outputs"}
    vars(changed).update({name: getattr(network, name) for name in kept})
    vars(changed).update(weights=weights, biases=biases)
    return changed


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return np.asarray((matrix @ vector[..., None])[..., 0])


def _answers(network: Network, rates: Sequence[np.ndarray]) -> tuple[Layers, Layers, Layers]:
    """Drives, responses and slopes of the layers 1 .. L, at rates (R, N_l)."""
    drives = tuple(
        _times(W, y) + b
        for W, y, b in zip(network.weights, rates[:-1], network.biases, strict=True)
    )
    units = list(zip(network.activations, drives, strict=True))
    return (
        drives,
        tuple(unit.value(h) for unit, h in units),
        tuple(unit.slope(h) for unit, h in units),
    )


def _forward(network: Network, inputs: np.ndarray) -> Layers:
    """Rates y_0 .. y_L (R, ..., N_l) of the forward pass, finite or not."""
    rates = [inputs]
    for W, b, unit in zip(network.weights, network.biases, network.activations, strict=True):
        if inputs.ndim == 3:
            rates.append(unit.value(rates[-1] @ np.swapaxes(W, -1, -2) + b[:, None]))
        else:
            rates.append(unit.value(_times(W, rates[-1]) + b))
    return tuple(rates)
