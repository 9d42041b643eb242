"""Sign symmetry: feedback weights that share no more than their signs with the feed-forward ones.

    delta_{l-1} = B_l A_l delta_l ,    delta_L = e ,    B_l = M_l * sign(W_l)^T  (entry by entry),

read as a target. B follows W in every step. The magnitudes M_l are all equal in a layer, so that
|B_l| is a multiple of |W_l| in the Frobenius norm (uniform sign-concordant feedback), or fixed and
random, |normal| with the variance of Gaussian weights. For Gaussian W the cosine between B^T and W
is sqrt(2 / pi) = 0.80 with equal magnitudes, 2 / pi = 0.64 with random ones.

Liao, Leibo and Poggio, How important is weight symmetry in backpropagation?, AAAI 2016.
"""

from __future__ import annotations

from circuit.learned_inverse.model import WEIGHTS, random_model
from circuit.losses import Loss, output_error
from circuit.network import Activity, Network
from circuit.numerics.arrays import Array, namespace
from circuit.peers.fa import shifts_through
from circuit.peers.rule import Companions, Rule
from circuit.peers.signal import Signal
from circuit.peers.table import TABLE
from circuit.settings.peers.sign import RANDOM, SignSymmetrySettings


def concordant(
    network: Network, settings: SignSymmetrySettings, companions: Companions
) -> tuple[Array, ...]:
    """B_2 .. B_L of the weights as they are, arrays (..., n_l, N_l)."""
    matrices = []
    for place, weights in enumerate(network.weights[1:]):
        xp = namespace(weights)
        if settings.magnitudes == RANDOM:
            size = companions[WEIGHTS][place]
        else:
            square = xp.mean(weights * weights, axis=(-2, -1), keepdims=True)
            size = settings.scale * xp.sqrt(square)
        matrices.append(size * xp.sign(xp.matrix_transpose(weights)))
    return tuple(matrices)


def signal(
    network: Network,
    activity: Activity,
    targets: Array,
    loss: str | Loss,
    settings: SignSymmetrySettings,
    companions: Companions,
    step: int,
) -> Signal:
    """As `Rule.signal`."""
    error = output_error(network, activity, targets, loss)
    matrices = concordant(network, settings, companions)
    return Signal(activity, shifts_through(network, activity, error, matrices))


def companions(network: Network, settings: SignSymmetrySettings, keys: Array) -> Companions:
    """The magnitudes where they are random, each network's from its key."""
    if settings.magnitudes != RANDOM:
        return {}
    drawn = random_model(network, keys).weights
    return {WEIGHTS: tuple(settings.scale * namespace(M).abs(M) for M in drawn)}


RULE = Rule(
    name="sign",
    words=TABLE["sign"].words,
    reference="Liao et al. 2016",
    settings=SignSymmetrySettings,
    signal=signal,
    companions=companions,
)
