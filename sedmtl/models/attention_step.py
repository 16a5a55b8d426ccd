"""One step of the paper's attention: equations 8 to 11 over mel bins, 12 to 15 over frames.

It has two forms: `released`, the authors' network, which produced their results; and `equations`,
as printed in the paper. They differ in where the sigmoid is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor, nn

AttentionForm = Literal["released", "equations"]


class Attended(NamedTuple):
    """Result of an attention step: the weighted sum (…) and the weights (…, n) that sum to 1."""

    summary: Tensor
    weights: Tensor


class AttentionStep(nn.Module):
    """One step: a classification branch averaged with the weights of an attention branch.

    Both branches are dense layers over the summed axis, so they depend on position.

    Args:
        n: Length of that axis.
        form: `released`: sigmoid(classification), softmax(attention). `equations`:
            classification (9, 13), softmax(sigmoid(attention)) (8, 10; 12, 14).
    """

    def __init__(self, n: int, form: AttentionForm) -> None:
        super().__init__()
        self.form = form
        self.classification = nn.Linear(n, n)
        self.attention = nn.Linear(n, n)

    def forward(self, z: Tensor) -> Attended:
        """(…, n) -> summary (…), weights (…, n)."""
        classification = self.classification(z)  # equations 9, 13
        attention = self.attention(z)
        if self.form == "released":
            classification = classification.sigmoid()
        else:
            attention = attention.sigmoid()  # equations 8, 12
        weights = attention.softmax(dim=-1)  # equations 10, 14
        return Attended((classification * weights).sum(dim=-1), weights)  # equations 11, 15
