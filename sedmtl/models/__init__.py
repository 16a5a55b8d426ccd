"""Networks: from log-mels to clip scores and the maps that explain them. They import only torch.

Axes: B clips, C classes, D channels, T frames, F mel bins. No network depends on a device.
"""

from sedmtl.models.output import SedOutput
from sedmtl.models.registry import MODELS, build_model, count_parameters
