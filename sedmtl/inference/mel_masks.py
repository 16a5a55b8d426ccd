"""Masks of the classes on the network's grid of frames and mel bins, from what it computed."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import avg_pool2d

from sedmtl.inference.model_card import ModelCard
from sedmtl.models import SedOutput
from sedmtl.models.class_masks import at_frames

AROUND = (31, 9)
"""Frames and mel bins that a class map is averaged over, odd."""


def mel_masks(output: SedOutput, card: ModelCard) -> Tensor:
    """How much of each bin is each class: (B, C, T, F) in [0, 1].

    If the run has learned the task `separate` and its head was loaded: what that gives.

    Without the task, where frame scores are presences (2APAE's local second step), those, the same
    in all mel bins. Elsewhere the class map, as a probability (of Atrous over the classes, of the
    others a sigmoid) averaged over the bins around.

    Chosen on inner validation by the mean SI-SDR improvement. Over 16 runs (the five networks on
    real recordings at 0, 10 and 20 dB, and 2APAE on the built-in corpus): the averaged map 1.6 dB,
    the map as it is -0.5, frame scores -4.4. Of the local second step at 10 dB: presences 8.1 dB,
    times the attention over mel bins -13.8, times the class map 0.7. The attention says where the
    evidence is, which are few bins, not where the sound is.
    """
    if "separate" in output.tasks:
        return at_frames(output.tasks["separate"], card.n_frames)
    if card.network.frame_meaning == "presence":
        return output.frame.unsqueeze(-1).expand(-1, -1, -1, card.n_mels)
    probability = card.network.class_probability(output.class_map)  # (B, C, T', F)
    padding = (AROUND[0] // 2, AROUND[1] // 2)
    return avg_pool2d(probability, AROUND, 1, padding, count_include_pad=False)
