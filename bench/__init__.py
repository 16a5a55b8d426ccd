"""Speed and memory of every stage, beside a plain reference measured in the same run.

`python -m bench` measures (`make bench`), `python -m bench.method` what each part of the strong
recipe is worth (`make method`). Not part of the installed package.
"""
