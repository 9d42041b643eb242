"""The settings of a training run: what its options say, and the rest from a preset.

Owns which options exclude each other or would do nothing with others. Standard library only, as the
options are. Does not own the words of the options nor the presets' values.
"""

from __future__ import annotations

import argparse
from typing import Any

from training.settings import DEFAULTS, LATERAL, preset, resolve

PLAIN = (  # settings that no preset has
    "rule",
    "preset",
    "widths",
    "data_dir",
    "seeds",
    "device",
    "measure_every",
    "checkpoint_every",
)
TEACHING = ("inhibition", "whitening", "populations")
# option -> the other option, and its values, without which it would do nothing
NEEDS: dict[str, tuple[str, tuple[str, ...]]] = (
    dict.fromkeys(("pathway", "readout"), ("rule", ("circuit",)))
    | dict.fromkeys(("gamma", "increments"), ("rule", ("itp", "gait", "grait", "circuit")))
    | {"lateral_rate": ("orthogonality_by", tuple(LATERAL))}
    | dict.fromkeys(("lateral_during", "spontaneous_samples"), ("orthogonality_by", TEACHING))
    | dict.fromkeys(
        (
            "inverse_rate",
            "inverse_noise",
            "inverse_aim",
            "inverse_steps",
            "inverse_before",
            "inverse_order",
        ),
        ("inverse", ("learned",)),
    )
    | {"inverse_block": ("inverse_order", ("alternating",))}
    | {"correction": ("inverse", ("learned",))}
)
# option -> the other option, and its value, with which it would do nothing
IDLE: dict[str, tuple[tuple[str, object], ...]] = {
    "orthogonality_of": (("orthogonality", 0),),
    "orthogonality_every": (("orthogonality", 0),),
    "orthogonality_by": (("orthogonality", 0),),
    "lateral_rate": (("orthogonality", 0),),
    "lateral_during": (("orthogonality", 0),),
    "spontaneous_samples": (("orthogonality", 0), ("lateral_during", "task")),
    "inverse_aim": (("inverse_noise", 0),),
    "increments": (("depth", 0),),
    "inverse": (("depth", 0),),
}


def resolved(chosen: argparse.Namespace) -> dict[str, Any]:
    """All settings by name: what was given, and the rest from the preset.

    Raises `CircuitError` for options that exclude each other, or that would do nothing.
    """
    from circuit.errors import CircuitError

    given = {
        name: value
        for name, value in vars(chosen).items()
        if name in DEFAULTS and value is not None
    }
    if chosen.widths is not None and "depth" in given:
        raise CircuitError("--depth and --widths both say how many layers there are; give one")
    settings: dict[str, Any] = resolve(chosen.preset, chosen.rule, given)
    settings |= {name: getattr(chosen, name) for name in PLAIN}
    by_default = preset(chosen.preset, chosen.rule)
    changed = [name for name, value in given.items() if value != by_default[name]]
    for name in changed:
        complaint = _needed(name, settings) or _idle(name, settings)
        if complaint:
            raise CircuitError(f"--{name.replace('_', '-')} would do nothing with {complaint}")
    return settings


def _needed(name: str, settings: dict[str, Any]) -> str:
    """What keeps the option `name` from doing anything for want of another, and the remedy."""
    other, values = NEEDS.get(name, ("rule", (settings["rule"],)))
    option = f"--{other.replace('_', '-')}"
    if settings[other] in values:
        return ""
    return f"{option} {settings[other]}; leave it out, or give {option} " + " or ".join(values)


def _idle(name: str, settings: dict[str, Any]) -> str:
    """What else does, and the remedy."""
    by, widths = settings["orthogonality_by"], settings["widths"]
    acting = by in LATERAL and by not in TEACHING  # has no lambda
    if acting and name in ("orthogonality_by", "lateral_rate"):
        return ""
    practising = ("inverse_rate", "inverse_noise", "inverse_aim")
    if name in practising and settings["inverse_steps"] == settings["inverse_before"] == 0:
        words = "--inverse-steps 0 and --inverse-before 0, which leave the inverse random"
        return f"{words}; leave it out, or give more of either"
    values = settings if widths is None else settings | {"depth": len(widths) - 2}
    for other, value in IDLE.get(name, ()):
        if values[other] == value:
            option = f"--{other.replace('_', '-')}"
            return f"{option} {value}; leave it out, or give another {option}"
    return ""
