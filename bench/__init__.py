"""How fast each stage is and what it needs, beside a plain reference measured in the same run.

`python -m bench` runs it (`make bench`); `python -m bench.scale` shows how cost grows with the
number of mixtures. No part of the package that is installed.
"""
