"""Layered equilibrium propagation (Scellier and Bengio 2017): a rule of contrasts.

The free state is a minimum of an energy, and the nudged one of the same with the loss added,

    E = sum_l gamma^l [G_l(s_l) - s_l . (W_l s_{l-1} + b_l)] + gamma^L beta loss(s_L),   G_l' = f^-1

so that s_l = f(W_l s_{l-1} + b_l + gamma W_{l+1}^T s_{l+1}) below the output, and there

    s_L = f(W_L s_{L-1} + b_L + beta e(s_L)),   e = -dloss/ds_L  (t - s_L if quadratic).

The derivative of the loss at the free state is the derivative of dE/dW in beta, at beta = 0 and at
every gamma,

    -dloss/dW_l = gamma^(l-L) d/dbeta [s_l s_{l-1}^T],

for which the rule has the difference between +beta and -beta (error beta^2), or between beta and 0
(error beta). For gamma -> 0 it is back-propagation.

B. Scellier and Y. Bengio, "Equilibrium propagation: bridging the gap between energy-based models
and backpropagation", Frontiers in Computational Neuroscience 11 (2017). Both sides: A. Laborieux et
al., "Scaling equilibrium propagation to deep ConvNets by drastically reducing its gradient
estimator bias", Frontiers in Neuroscience 15 (2021).
"""

from __future__ import annotations

from circuit.peers.contrast.states import contrast_signal, own_gradient
from circuit.peers.rule import Rule
from circuit.settings.peers.contrast import EquilibriumPropagationSettings

RULE = Rule(
    name="ep",
    words="the same with an output that is pulled and pushed a little by its error",
    reference="Scellier and Bengio 2017",
    settings=EquilibriumPropagationSettings,
    signal=contrast_signal,
    own_gradient=own_gradient,
    settles=True,
)
