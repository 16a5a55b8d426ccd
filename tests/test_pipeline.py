from __future__ import annotations

import json

from conftest import visible


def test_the_chain_leaves_what_the_design_promises(trained):
    run = trained.work / "runs" / "2apae_snr20_fold1_alpha0.001_seed0"
    names = visible(run) - {"localisation.json"}  # left by `eval`
    assert names == {
        "run.yaml", "metrics.jsonl", "last.pt", "model.safetensors", "model.json", "scores.h5",
        "trained_on.json",
    }  # fmt: skip
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3]
