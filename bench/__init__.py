"""Speed and memory of every stage, beside a plain reference measured in the same run.

`python -m bench` measures (`make bench`). The studies: `bench.method` what each part of the strong
recipe is worth (`make method`), `bench.tasks` what auxiliary tasks are (`make tasks`), and
`bench.review` what verdicts are. Not part of the installed package.
"""
