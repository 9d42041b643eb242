"""
Your torch network
==================

**Would a circuit around weights that I trained carry useful weight changes?**
Around this one it carries GAIT-prop's change in every layer. That is the gradient's at the output,
and less and less so below, since trained weights are not orthogonal.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from circuit import Network, accuracy, begin, build_circuit, settle

# %%
# A ``state_dict()`` is what you have after training in PyTorch. So that this script runs where
# PyTorch is not installed, scikit-learn trains the same layers, and its arrays go by the names that
# ``nn.Sequential(nn.Linear(64, 40), nn.Tanh(), nn.Linear(40, 20), nn.Tanh(), nn.Linear(20, 10))``
# gives to them. With PyTorch: ``Network.from_torch(module.double())``.

images, labels = load_digits(return_X_y=True)
images = images / 16
trained = MLPClassifier((40, 20), activation="tanh", max_iter=200, tol=1e-3, random_state=1)
trained.fit(images[:1200], labels[:1200])
state = {}
for place, (W, b) in zip((0, 2, 4), zip(trained.coefs_, trained.intercepts_, strict=True),
                         strict=True):
    state[f"{place}.weight"], state[f"{place}.bias"] = W.T, b

network = Network.from_torch(state, activations=("tanh", "tanh", "linear"))
print(f"accuracy {accuracy(network, images[1200:], labels[1200:]):.3f}, as it was trained")

# %%
# Auxiliary units make the weights square; the outputs stay what they were.

padded = network.padded()
print(*padded.notes, sep="\n")
trial = begin(build_circuit(padded, "gait", 0.01), images[:60], labels[:60], "cross_entropy")
report = settle(trial).report()
print(report.verdict)

# %%
# Cosine of the circuit's weight change with those of GAIT-prop and of back-propagation.

plt.style.use("tableau-colorblind10")
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for offset, (rule, name) in enumerate((("gait", "GAIT-prop"), ("bp", "back-propagation"))):
    places = [layer.layer + 0.35 * offset - 0.175 for layer in report.layers]
    heights = [layer.updates[rule].cosine for layer in report.layers]
    bars = axes.bar(places, heights, 0.33, label=name)
    axes.bar_label(bars, fmt="%.2f")
axes.set(xlabel="layer (3 is the output)", ylabel="cosine with the circuit's weight change",
         title="Around trained weights: GAIT-prop, less so the gradient",
         xticks=[1, 2, 3], ylim=(0, 1.25))
axes.legend(ncols=2, loc="upper center")
plt.show()
