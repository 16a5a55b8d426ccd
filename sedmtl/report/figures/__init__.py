"""Pictures: what a network saw in a clip, and how networks compare.

Draws with matplotlib's object interface, so that no window system and no global state is touched.
Nothing else in sedmtl knows matplotlib. What the interactive page shows of a clip (its `View`, the
classes, the scales) is decided here, too, so that page and picture agree.
"""

from sedmtl.report.figures.canvas import colours, save
from sedmtl.report.figures.figure3 import MAX_CLASSES, figure_3
from sedmtl.report.figures.roc import psd_roc

__all__ = ["MAX_CLASSES", "colours", "figure_3", "psd_roc", "save"]
