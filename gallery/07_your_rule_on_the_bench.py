"""
Your rule on the bench
======================

**How near does a rule of mine come to the gradient, beside the others?**
One bit for every unit keeps most of the direction in the hidden layers and little at the output.
GAIT-prop keeps all of it, the weights being orthogonal; target propagation the less the deeper.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from circuit import RULES, forward, initialise, output_error
from circuit.labels import one_hot
from circuit.learning import Lesson, teach
from circuit.peers import Rule, Signal, register, signal_updates
from circuit.report import agreement
from circuit.settings.declaration import Record


@dataclass(frozen=True)
class NoSettings(Record):
    """There is nothing to set."""


def signal(network, activity, targets, loss, settings, companions, step):
    """The sign of what back-propagation would send to every unit."""
    shifts = RULES["bp"](network, activity, output_error(network, activity, targets, loss))
    return Signal(activity, shifts.with_values(tuple(map(np.sign, shifts.values))))


one_bit = Rule("one_bit", "one bit of every error", "this script", NoSettings, signal)

# %%
# What each rule would have the layers learn, on the same weights and images.
images, labels = load_digits(return_X_y=True)
images, targets = images[:60] / 16, one_hot(labels[:60], 10)
network = initialise([64, 48, 32, 16, 10], 0)
activity = forward(network, images)


def asked(rule: str) -> list[np.ndarray]:
    """Weight changes of all layers."""
    signal = teach(network, Lesson(rule, feedback_strength=0.001), activity, targets)
    return [one.weights for one in signal_updates(network, signal)]


plt.style.use("tableau-colorblind10")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
names = {"gait": "GAIT-prop", "one_bit": "one bit (ours)", "tp": "target propagation"}
with register(one_bit):
    gradient = asked("bp")
    for (rule, name), style in zip(names.items(), ("o-", "D-", "^:"), strict=True):
        pairs = zip(asked(rule), gradient, strict=True)
        axes.plot(range(1, 5), [agreement(*pair).cosine for pair in pairs], style, label=name)
axes.set(xlabel="layer (4 is the output)", ylabel="cosine with back-propagation",
         title="One bit for each unit, beside rules of the table", xticks=range(1, 5))
axes.legend(loc="center left")
plt.show()
