"""The networks by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any

from torch import nn

from sedmtl.models.frame_input import FrameInput
from sedmtl.models.settings import NetworkSettings
from sedmtl.runtime.errors import SedmtlError, suggest

# Each network's settings class: the five of the paper's table IV in its order, the cheap ones, and
# those on the frames of a frozen encoder.
# The command line parses the options from its source, so that `--help` need not import torch.
NETWORKS = {
    "2apae": "sedmtl.models.autoencoder.TwoStepAttentionSettings",
    "gap": "sedmtl.models.vggish.GapSettings",
    "gmp": "sedmtl.models.vggish.GmpSettings",
    "gwrp": "sedmtl.models.vggish.GwrpSettings",
    "atrous": "sedmtl.models.atrous.AtrousSettings",
    "pooled": "sedmtl.models.pooled.PooledSettings",
    "crnn": "sedmtl.models.crnn.CrnnSettings",
    "probe": "sedmtl.models.probe.ProbeSettings",
    "gru": "sedmtl.models.gru.GruSettings",
}
MODELS = tuple(NETWORKS)
TABLE_IV = MODELS[:5]
"""The networks that the paper compares."""

PAPERS = "2apae"
"""The paper's network; the record of every run has its options, whatever the run's network."""


def settings_class(name: str) -> type[NetworkSettings]:
    """The settings class of a network.

    Raises:
        SedmtlError: There is no such network.
    """
    if name not in NETWORKS:
        raise SedmtlError(f"no network is called '{name}': {suggest(name, NETWORKS)}")
    module, _, of_class = NETWORKS[name].rpartition(".")
    found: type[NetworkSettings] = getattr(import_module(module), of_class)
    return found


def name_of(settings: NetworkSettings) -> str:
    """The name under which a network's settings are registered."""
    path = f"{type(settings).__module__}.{type(settings).__qualname__}"
    return next(name for name, known in NETWORKS.items() if known == path)


def read_settings(values: Mapping[str, Any]) -> NetworkSettings:
    """Read the settings from a run's record; missing options take their defaults.

    Args:
        values: `model`, and options by name; other keys are ignored.

    Raises:
        SedmtlError: There is no such network.
        ValueError: An option has an invalid value.
    """
    known = settings_class(values["model"])
    return known(**{name: values[name] for name in known.defaults() if name in values})


def plain_settings(settings: NetworkSettings) -> dict[str, Any]:
    """The settings in a run's record: `model`, the paper's options, its own, `width`."""
    own, usual = asdict(settings), settings.defaults()
    own = {name: v for name, v in own.items() if name not in settings.added or v != usual[name]}
    options = {**settings_class(PAPERS).defaults(), **own}
    width = options.pop("width")
    return {"model": name_of(settings), **options, "width": width}


def build_model(
    name: str,
    n_classes: int,
    n_frames: int,
    n_mels: int,
    width: int | None = None,
    frames: FrameInput | None = None,
    **options: Any,
) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: Name of the network.
        n_classes: C.
        n_frames: T.
        n_mels: F.
        width: Channels of the first block; by default those of the network's settings.
        frames: Frames of a frozen encoder, for a network that takes them.
        options: The network's own options: the fields of its settings.

    Returns:
        A module whose `forward` maps the settings' `inputs`, usually standardised log-mels
        (B, T, F), to a `SedOutput`.

    Raises:
        SedmtlError: There is no such network, or it has no such option or value.
    """
    known = settings_class(name)
    for option in options:
        if option not in known.defaults():
            raise SedmtlError(f"{name} has no '{option}': {suggest(option, known.defaults())}")
    try:
        sizes = {} if width is None else {"width": width}
        return known(**sizes, **options).build(n_classes, n_frames, n_mels, frames)
    except ValueError as error:
        raise SedmtlError(f"{name}: {error}") from error


def count_parameters(network: nn.Module) -> int:
    """The number of learned parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
