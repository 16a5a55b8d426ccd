"""Benchmarks of speed and memory for every stage, next to a plain reference, and studies.

`python -m bench` runs the benchmarks (`make bench`). The studies measure the parts of the strong
recipe (`bench.method`, `make method`), auxiliary tasks (`bench.tasks`, `make tasks`), frozen
encoders (`bench.encoders`) and review verdicts (`bench.review`). Not part of the installed package.
"""
