"""Feedback weights that learn to invert the feed-forward path (paper section 9).

Owns how an inverse model learns, and the target rules that go through it. Does not own the model
itself (`inverse_model`), the circuit through it, nor the recursion of the rules.

The model g^(y) = B f^-1(y) + c learns as a denoising
auto-encoder (Bengio 2014; Lee et al. 2015): the layer below is disturbed by xi, the layer sees the
drive h~ = W (y + xi) + b, and what B h~ + c is short of an aim changes it,

    e = aim - B h~ - c ,      B <- B + rate e h~^T / s ,      c <- c + rate e <h~^2> / s ,

averaged over the batch; <h~^2> is the mean square of a drive, and s = (N_l + 1) <h~^2> that of all
inputs together, c being fed by one more unit that is as active as the others. A synapse uses the
drive at its one end, the error at its other, and the layer's activity as a whole (normalised least
mean squares, which rates below 2 keep stable). The aim is the disturbed activity y + xi itself, as
in the inverse loss of Lee et al. ("noisy"), or the y before it ("clean"). With the covariances
C of y and sigma^2 1 of xi, and S = C + sigma^2 1, they end at

    noisy   B = S W^T (W S W^T)^-1        W^-1 for square W, else its inverse weighted by S
    clean   B = C W^T (W S W^T)^-1        shrunk by C S^-1: the ridge-like inverse

and c = <y> - B (W <y> + b). Of xi only mean and covariance matter, so it is made of random signs.

Down the rules go, with the *difference correction* of Lee et al. and without it,

    corrected    delta_{l-1} = g^(y_l + eps delta_l) - g^(y_l)
    plain        delta_{l-1} = g^(y_l + eps delta_l) - y_{l-1}

which differ by the error of reconstruction g^(y_l) - y_{l-1}: the same however weak feedback is.

GRAIT-prop's N^2 makes the inverse the transpose, W^-1 N^2 = W^T, where rows are orthogonal. What
does that for a learned B is the regression of a unit's weights from below on those that it sends
back through,

    N_i^2 = <w_i, b_i> / <b_i, b_i> ,     w_i row i of W, b_i column i of B,

which brings B N^2 as near to W^T as any diagonal can: the squared length of w_i where B is the
exact inverse and the rows are orthogonal, 1 / s of it where B is s times that, and 1 for B = W^T.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import array_api_compat

from circuit.activations import Activation
from circuit.checks.given import require_choice, require_flag
from circuit.learned_inverse.inverse_model import InverseModel, require_model
from circuit.network import Activity, Network, require_activity
from circuit.numerics.arrays import Array, namespace, plus_outer_sum, rows_times, widened
from circuit.numerics.keyed_random import normals, signs
from circuit.numerics.scale import ONE
from circuit.rules import GAINS, Strength, propagate_targets
from circuit.settings.learned_inverse import LearnedInverseSettings
from circuit.shifts import Shifts

WEIGHTS, BIASES, KEYS = "feedback_weights", "feedback_biases", "noise_keys"  # of companions
BEGINNING, PRACTICE, READING = range(3)  # what a random number is for


def random_model(network: Network, keys: Array) -> InverseModel:
    """Gaussian weights of variance 2 / (n_l + N_l) and zero biases, each network from its key.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import initialise
    >>> from circuit.learned_inverse import random_model
    >>> random_model(initialise([4, 3, 2], 0, auxiliary=False), np.array(1)).weights[0].shape
    (3, 2)
    """
    weights, biases = [], []
    for layer, forward in enumerate(network.weights[1:], 2):
        xp, (units, read) = namespace(forward), forward.shape[-2:]
        blank = xp.zeros_like(xp.matrix_transpose(forward))
        drawn = normals(keys, (BEGINNING, layer), blank, units)
        weights.append(drawn * (2 / (units + read)) ** 0.5)
        biases.append(xp.zeros_like(blank[..., 0]))
    return InverseModel(tuple(weights), tuple(biases))


def practised(
    model: InverseModel,
    network: Network,
    activity: Activity,
    practice: LearnedInverseSettings,
    keys: Array,
    step: int,
    steps: int | None = None,
) -> InverseModel:
    """The model after `steps` (or `practice.steps`) steps on the batch of the network's `step`.

    Raises `ShapeMismatch` for a model or an activity of another network.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import forward, initialise
    >>> from circuit.learned_inverse import LearnedInverse, practised, random_model
    >>> network = initialise([4, 3, 2], 0, auxiliary=False)
    >>> before = random_model(network, np.array(1))
    >>> activity = forward(network, np.random.default_rng(0).random((20, 4)))
    >>> after = practised(before, network, activity, LearnedInverse(), np.array(1), 0, 300)
    >>> after.defects(network)[0] < 0.2 * before.defects(network)[0]
    False
    """
    require_activity(network, activity)
    require_model(network, model)
    weights, biases = list(model.weights), list(model.biases)
    for layer in range(2, network.depth + 1):
        rates = activity.rates[layer - 1][..., : network.n_projecting(layer - 1)]
        xp, drives = namespace(rates), activity.drive(layer)
        size = practice.noise * xp.sqrt(xp.mean(rates * rates, axis=(-2, -1), keepdims=True))
        for again in range(practice.steps if steps is None else steps):
            count = (PRACTICE, step, again, layer)
            noise = size * signs(keys, count, rates, rates.shape[-1])
            seen = drives + network.push(layer, noise)
            aim = rates + noise if practice.aim == "noisy" else rates
            weights[layer - 2], biases[layer - 2] = improved(
                weights[layer - 2], biases[layer - 2], seen, aim, practice.rate
            )
    return InverseModel(tuple(weights), tuple(biases))


def improved(
    weights: Array,
    biases: Array,
    seen: Array,
    aim: Array,
    rate: float,
    unit: Activation | None = None,
) -> tuple[Array, Array]:
    """B and c after one step, from drives `(..., batch, N_l)` and aims `(..., batch, n_l)`.

    With a `unit` f it is f(B h~ + c) that is held against the aim, and its slope enters the error.
    """
    xp, batch = namespace(seen), seen.shape[-2]
    if unit is None:
        error = aim - rows_times(seen, weights) - biases[..., None, :]
    else:
        drive = rows_times(seen, weights) + biases[..., None, :]
        error = (aim - unit.value(drive)) * unit.slope(drive)
    square = xp.mean(seen * seen, axis=(-2, -1), keepdims=True)
    inputs = seen.shape[-1] + 1
    # drives of 0 teach nothing
    step = rate / (batch * inputs) / xp.where(square > 0, square, xp.ones_like(square))
    biases = biases + (rate / inputs) * xp.mean(error, axis=-2)
    return plus_outer_sum(weights, error * step, seen), biases


def propagate_learned(
    rule: str,
    network: Network,
    model: InverseModel,
    activity: Activity,
    output_error: Array,
    feedback_strength: Strength,
    *,
    corrected: bool = True,
    noise: Sequence[Array | None] = (),
) -> Shifts:
    """TP, ITP, GAIT-prop or GRAIT-prop with the learned inverse in place of the exact one.

    Parameters
    ----------
    rule : "tp", "itp", "gait" or "grait"
    corrected : whether with the difference correction
    noise : L arrays of `reading_noise`, or none

    Other parameters, returns and errors as `rules.gait_propagation`.

    Examples
    --------
    >>> import numpy as np
    >>> from circuit import RULES, forward, initialise
    >>> from circuit.learned_inverse import exact_model, propagate_learned
    >>> network = initialise([4, 3, 3], 0)
    >>> activity, error = forward(network, [[0.1, 0.2, 0.3, 0.4]]), np.array([[0.1, 0.0, -0.2]])
    >>> through = propagate_learned("gait", network, exact_model(network), activity, error, 0.01)
    >>> exact = RULES["gait"](network, activity, error, 0.01)
    >>> np.allclose(through.per_gain(1), exact.per_gain(1))
    True
    """

    def pull(layer: int, drives: Array) -> Array:
        return widened(model.pull(layer, drives), network.widths[layer - 1])

    added = list(noise) if noise else [None] * network.depth
    if not corrected:
        for layer in range(2, network.depth + 1):
            missed, known = reconstruction_error(network, model, activity, layer), added[layer - 2]
            added[layer - 2] = missed if known is None else known + missed
    require_choice("rule through an inverse", rule, GAINS)
    require_flag("corrected", corrected)
    require_activity(network, activity)
    require_model(network, model)
    gain = GAINS[rule]
    return propagate_targets(
        gain,
        network,
        activity,
        output_error,
        feedback_strength,
        pull=pull,
        squared_lengths=partial(model.squared_lengths, network),
        added=added,
    )


def reconstruction_error(
    network: Network, model: InverseModel, activity: Activity, layer: int
) -> Array:
    """g_l^(y_l) - y_{l-1} of the units that project, `(..., batch, n_l)`."""
    rates = activity.rates[layer - 1][..., : network.n_projecting(layer - 1)]
    return model.reconstruct(layer, activity.drive(layer)) - rates


def reading_noise(
    network: Network, sigma: float, keys: Array, step: int, like: Array
) -> tuple[Array, ...]:
    """What the shifts of layers 1 .. L are read wrong by, `(..., batch, units with a shift)`.

    Standard normal times `sigma`, in units of the rates; `like` is any array (..., batch, any).
    """
    return tuple(
        sigma * normals(keys, (READING, step, layer), like, network.n_projecting(layer))
        for layer in range(1, network.depth + 1)
    )


def noise_of(
    network: Network,
    sigma: float,
    companions: Mapping[str, Sequence[Array]],
    step: int,
    like: Array,
) -> tuple[Array, ...]:
    """`reading_noise` from the keys among the companions; nothing where `sigma` is 0."""
    return reading_noise(network, sigma, companions[KEYS][0], step, like) if sigma > 0 else ()


def read_with(noise: Sequence[Array], shifts: Shifts) -> Shifts:
    """Shifts that are read with noise, but were not made with it."""
    if not noise:
        return shifts
    return shifts.with_values(
        tuple(
            value + widened(wrong * ONE.over(scale).value, value.shape[-1])
            for value, wrong, scale in zip(shifts.values, noise, shifts.scales, strict=True)
        )
    )


def inverse_error(network: Network, model: InverseModel, layer: int) -> Array:
    """How far B_l is from an inverse of W_l, `(...)`: |B W - 1| over sqrt(n_l), Frobenius norm.

    |W B - 1| over sqrt(N_l) where W_l has fewer rows than columns, and no inverse from the left.
    1 says that it knows nothing: it is what B = 0 has.
    """
    forward, back = network.weights[layer - 1], model.weights[layer - 2]
    xp = namespace(forward)
    first, second = (forward, back) if forward.shape[-2] < forward.shape[-1] else (back, forward)
    product = xp.matmul(first, second)
    device = array_api_compat.device(product)
    eye = xp.eye(product.shape[-1], dtype=product.dtype, device=device)
    return xp.linalg.matrix_norm(product - eye) / product.shape[-1] ** 0.5
