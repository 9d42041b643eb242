"""Presets against the facts that they state, transcribed from the notes on the public code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ortho_group

from circuit.errors import CircuitError
from circuit.peers.table import TABLE, own_settings
from models.command.training_options import options
from models.command.training_settings import resolved
from training.declarations import PRESETS
from training.plan import initial_network, plan_of
from training.settings import DEFAULTS, preset, resolve

# notes on the public code: learning rate and lambda that were chosen
FACTS = {"bp": (1e-4, 0), "gait": (1e-4, 0.1), "tp": (1e-5, 1000)}


@pytest.mark.parametrize("name", ["paper", "reference"])
@pytest.mark.parametrize("rule", FACTS)
def test_chosen_parameters_of_the_paper(name, rule):
    values = resolve(name, rule, {})
    assert (values["learning_rate"], values["orthogonality"]) == FACTS[rule]
    assert values["init"] == "orthogonal"
    assert values["gamma"] == 1e-3
    assert values["epochs"] == 100
    assert values["activation"] == "leaky_relu"
    assert values["loss"] == "quadratic"
    assert values["depth"] == 4  # Fig. 2B


@pytest.mark.parametrize("rule", [name for name, line in TABLE.items() if line.is_paper])
def test_reference_has_the_quirks_and_paper_has_none(rule):
    quirks = {
        "batch": 60,
        "batches_per_epoch": 1000,
        "order": "stored",
        "beta1": 0.9,
        "beta2": 0.99,
        "epsilon": 1e-8,
        "bias_correction": "no",
        "orthogonality_of": "columns",
        "last_weights": "alike",  # output and last hidden layer are drawn from one seed
        "validation": 0.0,  # chosen on the test split
        "precision": "float64",
    }
    reference, paper = resolve("reference", rule, {}), resolve("paper", rule, {})
    assert reference == reference | quirks
    proper = {"order": "shuffled", "beta2": 0.999, "bias_correction": "yes", "batch": 60}
    assert paper == paper | proper | {"orthogonality_of": "rows", "batches_per_epoch": None}
    assert paper["last_weights"] == "apart"
    assert paper["validation"] > 0


def test_reference_takes_orthogonal_weights_whenever_lambda_is_0():
    assert preset("reference", "bp")["init"] == "gaussian"
    assert resolve("reference", "bp", {})["init"] == "orthogonal"
    assert resolve("reference", "bp", {"orthogonality": 0.1})["init"] == "gaussian"
    # what is written down wins over a quirk
    assert resolve("reference", "bp", {"init": "gaussian"})["init"] == "gaussian"
    assert (
        resolve("paper", "gait", {"orthogonality": 0.0, "init": "gaussian"})["init"] == "gaussian"
    )


def test_rules_that_the_paper_does_not_train_are_compared_with_gait():
    for name in ("paper", "reference"):
        for rule in ("itp", "circuit"):
            assert preset(name, rule) == preset(name, "gait")


def test_a_rule_names_in_its_settings_what_its_paper_gives() -> None:
    """The clamped output of Whittington and Bogacz is lambda 1; what is given wins over it too. The
    network of Meulemans et al. is 3 x 256 tanh, of which the option of the depth leaves nothing.
    """
    assert resolve("paper", "pc", {})["pc_lambda"] == 1.0
    assert resolve("quick", "pc", {})["pc_lambda"] == 0.1
    assert resolve("paper", "pc", {"pc_lambda": 0.3})["pc_lambda"] == 0.3
    assert "pc_lambda" not in resolve("paper", "dual", {})
    published = {"dfc_lambda": 0.078, "dfc_leak": 0.0014}  # DFC-SS, MNIST: 0.0779 and 0.00139
    assert resolve("paper", "dfc", {}) == resolve("paper", "dfc", {}) | published
    symmetric = {"ep_gamma": 1.0, "ep_centred": "no", "ep_beta": 0.1}
    assert resolve("paper", "ep", {}) == resolve("paper", "ep", {}) | symmetric
    assert resolve("paper", "chl", {})["chl_gamma"] == 0.01
    given = options().parse_args(["--rule", "dfa", "--preset", "paper"])
    assert resolved(given)["widths"] == (784, 256, 256, 256, 10)
    assert resolved(given)["auxiliary"] == "no"
    given = options().parse_args(["--rule", "dfa", "--preset", "paper", "--depth", "2"])
    assert resolved(given)["widths"] is None


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_given_wins_and_the_rest_stays(name):
    given = {"learning_rate": 0.5, "epochs": 3, "dataset": "kmnist"}
    values = resolve(name, "tp", given)
    assert {key: values[key] for key in given} == given
    rest = set(values) - set(given)
    plain = resolve(name, "tp", {})
    assert {key: values[key] for key in rest} == {key: plain[key] for key in rest}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("rule", TABLE)
def test_every_value_of_a_preset_is_one_that_its_option_accepts(name, rule):
    """Written on the command line, the values come back as they are."""
    values = resolve(name, rule, {})
    own = {one.option for one in own_settings(rule).values()}
    assert set(values) - {"widths"} == set(DEFAULTS) | own
    assert ("widths" in values) == (name == "paper" and not TABLE[rule].is_paper)
    if values["orthogonality"] == 0:
        del values["orthogonality_of"]  # refused, since it would do nothing
    if "widths" in values:
        del values["depth"]  # which they replace
    arguments = ["--rule", rule]
    for key, value in values.items():
        if value is not None:
            words = map(str, value) if isinstance(value, tuple) else [str(value)]
            arguments += [f"--{key.replace('_', '-')}", *words]
    settings = resolved(options().parse_args(arguments))
    for key, value in values.items():
        assert settings[key] == (list(value) if isinstance(value, tuple) else value), key


def test_output_and_last_hidden_layer_begin_as_one_matrix_in_reference():
    """As two draws from one seed do: SciPy's from the same generator twice are one matrix.

    All others are those of the preset without the quirk, in a stack too; shapes that differ, and a
    network of one layer, are refused.
    """
    begun = {}
    for words in ("alike", "apart"):
        given = {"dataset": "digits", "seeds": (1, 2), "last_weights": words, "depth": 3}
        given |= {"device": None, "measure_every": 1, "checkpoint_every": 0, "widths": None}
        settings = {"inverse": "exact"} | resolve("reference", "gait", given) | {"rule": "gait"}
        plan = plan_of(settings, 64)
        begun[words] = initial_network(plan, 10).weights
    alike, apart = begun["alike"], begun["apart"]
    assert [np.array_equal(a, b) for a, b in zip(alike, apart, strict=True)] == [True] * 3 + [False]
    assert np.array_equal(alike[-1], alike[-2]) and not np.array_equal(apart[-1], apart[-2])
    assert not np.array_equal(alike[-2], alike[-3])
    drawn = [ortho_group.rvs(5, random_state=np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*drawn)
    for widths in ((64, 32, 10), (64, 64)):
        with pytest.raises(CircuitError, match="--last-weights apart"):
            initial_network(replace(plan, widths=widths, last_alike=True), 10)
