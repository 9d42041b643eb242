"""
Learning by the circuit
=======================

**Does a network learn if its synapses see nothing but how far their layer has shifted?**
Yes: after 400 steps it tells digits apart within two points of back-propagation.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from circuit import accuracy, initialise
from circuit.labels import one_hot
from circuit.learning import Adam, Lesson, begin_learning, learn

images, labels = load_digits(return_X_y=True)
images = images / 16
train, test = slice(0, 1200), slice(1200, None)
targets = one_hot(labels, 10)


def course(rule: str) -> list[float]:
    """Accuracy on images that were not shown, before learning and after every 25 steps of 40."""
    lesson = Lesson(rule, feedback_strength=0.01, adam=Adam(0.003))
    learner = begin_learning(initialise([64, 64, 32, 10], 0))
    generator = np.random.default_rng(0)  # the same images in the same order for both
    found = []
    for step in range(401):
        if step % 25 == 0:
            found.append(100 * accuracy(learner.network, images[test], labels[test]))
        rows = generator.choice(1200, 40, replace=False)
        learner, _ = learn(learner, lesson, images[rows], targets[rows])
    return found


# %%
# The circuit settles anew for every batch. Back-propagation starts from the same weights.

plt.style.use("tableau-colorblind10")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for rule, name, style in (("circuit", "the circuit", "o-"), ("bp", "back-propagation", "s--")):
    axes.plot(range(0, 401, 25), course(rule), style, ms=4, label=name)
axes.axhline(10, color="grey", ls=":", label="chance")
axes.set(xlabel="steps of 40 images", ylabel="test accuracy (%), digits",
         title="The circuit's shifts teach the ten digits", ylim=(0, 100))
axes.legend(loc="lower right")
plt.show()
