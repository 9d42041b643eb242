"""
Feedback strength
=================

**How strong may feedback be for the circuit to ask for back-propagation's weight change?**
The weaker the better: with orthogonal weights what is wrong with the first layer's change shrinks
with the feedback strength. With Gaussian weights it is another direction at every strength.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from circuit import RULES, begin, build_circuit, initialise, settle, updates
from circuit.report import agreement

images, labels = load_digits(return_X_y=True)
images, labels = images[:20] / 16, labels[:20]
strengths = np.geomspace(1e-4, 0.3, 12)


def errors(init: str) -> list[float]:
    """How far the circuit's weight change in layer 1 is from back-propagation's, relative to it."""
    network = initialise([64, 64, 64, 64], 1, init=init, activation="asinh", n_outputs=10)
    first = begin(build_circuit(network, "gait", 0.1), images, labels)
    gradient = RULES["bp"](network, first.activity, first.error[:, :10])
    wanted = updates(network, first.activity, gradient)[0].weights
    found = []
    for gamma in strengths:
        trial = first.with_feedback(gamma)  # the same forward pass
        shifts = settle(trial).shifts
        change = updates(network, trial.activity, shifts)[0].weights
        found.append(agreement(change, wanted).relative_error)
    return found


# %%
# Both kinds of weights, from very weak to strong feedback.

plt.style.use("tableau-colorblind10")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for init, style in (("orthogonal", "o-"), ("gaussian", "s--")):
    axes.loglog(strengths, errors(init), style, label=f"{init} weights")
axes.axhline(1, color="grey", ls=":")
axes.text(strengths[0], 0.8, "as large as the change itself", va="top", color="grey")
axes.set(xlabel="feedback strength gamma",
         ylabel="distance from the gradient, layer 1, relative",
         title="The weaker the feedback, the nearer to the gradient")
axes.legend()
plt.show()
