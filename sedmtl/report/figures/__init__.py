"""Figures: a network's view of a clip, and comparisons of networks.

They use matplotlib's object interface, which needs no window system and no global state. Nothing
else in sedmtl imports matplotlib. The interactive page shares `View`, the choice of classes and the
scales with the figures, so that both agree.
"""

from sedmtl.report.figures.canvas import colours, save
from sedmtl.report.figures.figure3 import MAX_CLASSES, figure_3
from sedmtl.report.figures.roc import psd_roc

__all__ = ["MAX_CLASSES", "colours", "figure_3", "psd_roc", "save"]
