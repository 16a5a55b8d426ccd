"""Speed and memory of every stage, beside a plain reference measured in the same run.

`python -m bench` measures (`make bench`); `python -m bench.scale` shows how cost grows with the
number of mixtures. Not part of the installed package.
"""
