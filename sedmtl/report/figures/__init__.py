"""Figures: networks' views of a clip, and the score curves of networks.

They use matplotlib's object interface, which needs no window system and no global state. Nothing
else in sedmtl imports matplotlib. The interactive page shares `View`, the choice of classes and the
scales with the figures, so that both agree.
"""

from contextlib import chdir
from pathlib import Path

with chdir(Path(__file__).parent):  # matplotlib would obey a matplotlibrc in the current folder
    import matplotlib

from sedmtl.report.figures.canvas import colours, encode, encode_for, encode_map, save
from sedmtl.report.figures.figure3 import MAX_CLASSES, figure_3
from sedmtl.report.figures.roc import draw_score_curves, score_curves
