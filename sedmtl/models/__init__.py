"""Networks: log-mel in, clip scores and all that explains them out. They import torch only.

Axes: B clips, C classes, D channels, T frames, F mel bins. A network never knows its device.
"""

from sedmtl.models.output import SedOutput
from sedmtl.models.registry import MODELS, build_model, count_parameters

__all__ = ["MODELS", "SedOutput", "build_model", "count_parameters"]
