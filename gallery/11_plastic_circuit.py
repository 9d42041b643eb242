"""
Plastic circuit
===============

**Can weights learn as variables of the running circuit, with no trainer outside?**
Yes: in one Brian2 run, in which nothing but the equations acts, the answers come nearer to the
targets image after image, while feedback weights that began at random learn too.
"""

import matplotlib.pyplot as plt
import numpy as np

from circuit import Network, forward
from circuit.plastic import Plastic, Timing, run_plastic

# %%
# One circuit of 8, 6 and 3 units. The task: what another network of random weights answers.

generator = np.random.default_rng(0)
shapes = ((6, 8), (3, 6))
weights = tuple(generator.standard_normal((1, n, m)) / m**0.5 for n, m in shapes)
network = Network(weights, (np.zeros((1, 6)), np.zeros((1, 3))), "leaky_relu", 8, 3)
teacher = Network.from_layers([generator.standard_normal((n, m)) / m**0.5 for n, m in shapes])
plastic = Plastic(
    network,
    feedback=(generator.standard_normal((1, 6, 3)) / 3**0.5,),
    rates=np.array([1.5]),  # of learning, in 1/s
    timing=Timing(step=0.005, free_steps=0, nudged_steps=20, teacher_stages=2),  # 0.1 s an image
    strength=0.3,
    time_constants=(np.full((1, 6), 0.010), np.full((1, 3), 0.010)),
)
images = generator.uniform(-2, 2, (500, 8))
record = run_plastic(plastic, images, forward(teacher, images).rates[-1], snapshots=20)

# %%
# Error of the answers to images that were never shown, with the weights of each snapshot.

unseen = generator.uniform(-2, 2, (200, 8))
wanted = forward(teacher, unseen).rates[-1]
errors = []
for Ws, bs in zip(record.weights, record.biases, strict=True):
    now = Network.from_layers([W[0] for W in Ws], [b[0] for b in bs])
    errors.append(np.sqrt(np.mean((forward(now, unseen).rates[-1] - wanted) ** 2)))

plt.style.use("tableau-colorblind10")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.plot(record.images, errors, "o-")
axes.axhline(wanted.std(axis=0).mean(), color="grey", ls=":")
axes.text(500, wanted.std(axis=0).mean(), "answering the mean", ha="right", va="bottom",
          color="grey")
axes.set(xlabel="images shown, 0.1 s each", ylabel="error, root mean square (rate 1)",
         title="Weights learn while the circuit runs", ylim=(0, None))
plt.show()
