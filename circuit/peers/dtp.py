"""Difference target propagation, with feedback that learns to bring back what was below.

    t_{l-1} = y_{l-1} + g_l(t_l) - g_l(y_l) ,    t_L = y_L + eta e                  (`difference`)

read as a target. Feedback g_l, l = 2 .. L, learns before the network in every step, from one of

reconstruction   |g_l(f_l(W_l (y_{l-1} + xi) + b_l)) - (y_{l-1} + xi)|^2, layer by layer, with
                 g_l(y) = f_{l-1}(B_l y + c_l) (Lee et al. 2015)
drl              |D_l(xi) - xi|^2 + decay |B_l|^2, where D_l(xi) is what comes back of a change xi
                 of y_{l-1} that goes up to the output and down again through all g_k, k >= l, in
                 units of the standard deviation of xi; B_l alone learns from it (the difference
                 reconstruction loss of Meulemans et al. 2020)

In a linear network and from white noise, drl ends, from the output down, at

    B_l = H^T (H H^T + decay)^-1 ,    H = B_{l+1} ... B_L J ,    J = dy_L / dy_{l-1} ,

H leading from layer l-1 up to the output and down to layer l. B_L is the damped Gauss-Newton
J^T (J J^T + decay)^-1 itself, and as the decay goes to 0 all shifts become pinv(J) eta e, where
J has full rank and no layer between is narrower than the output.

Lee, Zhang, Fischer and Bengio, Difference target propagation, ECML 2015. Meulemans, Carzaniga,
Suykens, Sacramento and Grewe, A theoretical framework for target propagation, NeurIPS 2020.
"""

from __future__ import annotations

from circuit.learned_inverse.companions import model_of
from circuit.learned_inverse.inverse_model import InverseModel
from circuit.learned_inverse.model import BIASES, KEYS, WEIGHTS, improved, random_model
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, widened
from circuit.peers.difference import BELOW, brought_down, difference_shifts, reader
from circuit.peers.disturbed import disturbance, raised, regressed, require_learnt
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.settings.peers.dtp import RECONSTRUCTION, DifferenceTargetSettings
from circuit.settings.peers.feedback import steps_in


def form_of(settings: DifferenceTargetSettings) -> str:
    """Of its feedback, see `circuit.peers.difference`."""
    return BELOW if settings.loss == RECONSTRUCTION else settings.unit


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: DifferenceTargetSettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`. Raises `TargetOutOfRange` where f^-1 of a target is asked for."""
    error = output_error(network, activity, targets, loss)
    form, model = form_of(settings), model_of(companions)
    shifts = difference_shifts(network, activity, error, model, form, settings.nudge)
    return Signal(activity, shifts)


def companions(network: Network, settings: DifferenceTargetSettings, keys: Array) -> Companions:
    """Keys of what is random, and Gaussian feedback weights with biases of 0."""
    model = random_model(network, keys)
    biases = {BIASES: model.biases} if settings.loss == RECONSTRUCTION else {}
    return {KEYS: (keys,), WEIGHTS: model.weights, **biases}


def practise(
    network: Network,
    activity: Activity,
    companions: Companions,
    settings: DifferenceTargetSettings,
    step: int,
) -> Companions:
    """As `Rule.practise`. Raises `NotFinite`."""
    learn = _reconstruct if settings.loss == RECONSTRUCTION else _rebuild
    model, keys = model_of(companions), companions[KEYS][0]
    for again in range(steps_in(step, settings.steps, settings.before)):
        model = learn(network, activity, model, settings, keys, step, again)
    weights = require_learnt("dtp", model.weights, 2)
    biases = {BIASES: model.biases} if BIASES in companions else {}
    return {**companions, WEIGHTS: weights, **biases}


def _reconstruct(
    network: Network,
    activity: Activity,
    model: InverseModel,
    settings: DifferenceTargetSettings,
    keys: Array,
    step: int,
    again: int,
) -> InverseModel:
    """One step of all layers towards noisy rates of the layer below."""
    learnt, biases = [], []
    for layer, (B, c) in enumerate(zip(model.weights, model.biases, strict=True), 2):
        rates = activity.rates[layer - 1][..., : network.n_projecting(layer - 1)]
        units = rates.shape[-1]
        noise = settings.noise * disturbance(keys, step, again, layer, like=rates, units=units)
        unit, below = network.activation(layer), network.activation(layer - 1)
        seen = unit.value(activity.drive(layer) + network.push(layer, noise))
        B, c = improved(B, c, seen, rates + noise, settings.rate, below)
        learnt.append(B)
        biases.append(c)
    return InverseModel(tuple(learnt), tuple(biases))


def _rebuild(
    network: Network,
    activity: Activity,
    model: InverseModel,
    settings: DifferenceTargetSettings,
    keys: Array,
    step: int,
    again: int,
) -> InverseModel:
    """One step of all layers, from the output down, towards changes of the layer below."""
    form, scale, depth = settings.unit, settings.noise, network.depth
    for layer in range(depth, 1, -1):
        like, units = activity.rates[layer - 1], network.n_projecting(layer - 1)
        change = noise = disturbance(keys, step, again, layer, like=like, units=units)
        for above in range(layer, depth + 1):
            change = raised(network, activity, above, change, scale)
        for above in range(depth, layer, -1):
            change = brought_down(network, activity, model, form, above, change, scale)
            change = widened(change, network.widths[above - 1])
        read = reader(network, activity, form, layer)(change, scale)
        place = layer - 2
        weights = list(model.weights)
        weights[place] = regressed(weights[place], noise, read, settings.rate, settings.decay)
        model = InverseModel(tuple(weights), model.biases)
    return model


RULE = Rule(
    name="dtp",
    words=TABLE["dtp"].words,
    reference="Lee et al. 2015; Meulemans et al. 2020",
    settings=DifferenceTargetSettings,
    signal=signal,
    companions=companions,
    practise=practise,
)
