"""Contrastive Hebbian learning with weak feedback (Xie and Seung 2003): a rule of contrasts.

A free state, in which layers hear the ones above through gamma times the transposed weights, and a
state in which the output is clamped at its target,

    s_l = f(W_l s_{l-1} + b_l + gamma W_{l+1}^T s_{l+1}),   l < L
    free:    s_L = f(W_L s_{L-1} + b_L)
    clamped: s_L = t

each synapse learns from the product of the two rates beside it, in the one state less in the other,

    dW_l = gamma^(l-L) [s_l s_{l-1}^T (clamped) - s_l s_{l-1}^T (free)].

For gamma -> 0 and linear outputs that is back-propagation, but for the curvature of units between
the two states; of other outputs the clamp leaves out f' (nudges "force" and "spring" count it). The
free state is not the forward pass, and with stronger feedback there may be none
(`circuit.peers.contrast.critical`).

X. Xie and H. S. Seung, "Equivalence of backpropagation and contrastive Hebbian learning in a
layered network", Neural Computation 15 (2003).
"""

from __future__ import annotations

from circuit.peers.contrast.states import contrast_signal, own_gradient
from circuit.peers.rule import Rule
from circuit.settings.peers.contrast import ContrastiveHebbianSettings

RULE = Rule(
    name="chl",
    words="free state and clamped state contrasted, feedback through weak transposed weights",
    reference="Xie and Seung 2003",
    settings=ContrastiveHebbianSettings,
    signal=contrast_signal,
    own_gradient=own_gradient,
    settles=True,
)
