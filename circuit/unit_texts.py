"""Activation functions in Brian2's language.

Owns f, f' and f^-1 as text. Does not own the equations they are part of
(`circuit.brian.rate_texts`, `circuit.brian.plastic_texts`). Imports no Brian2.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UnitText:
    """An activation function in Brian2's language.

    Attributes
    ----------
    response : f at `drive`
    slope : f' at `drive`
    inverse : f^-1 at `sent`
    """

    response: str
    slope: str
    inverse: str


UNIT_TEXTS: dict[str, UnitText] = {
    "linear": UnitText("drive", "1", "sent"),
    "leaky_relu": UnitText(
        "int(drive > 0)*drive + int(drive <= 0)*leak*drive",
        "int(drive > 0) + int(drive <= 0)*leak",
        "int(sent > 0)*sent + int(sent <= 0)*sent/leak",
    ),
    # Brian2 has neither arcsinh nor arctanh; these keep the digits of small arguments
    "asinh": UnitText(
        "sign(drive)*log1p(abs(drive) + drive**2/(1 + sqrt(1 + drive**2)))",
        "1/sqrt(1 + drive**2)",
        "sinh(sent)",
    ),
    "tanh": UnitText(
        "tanh(drive)",
        "4*exp(-2*abs(drive))/(1 + exp(-2*abs(drive)))**2",
        "0.5*(log1p(sent) - log1p(-sent))",
    ),
}
