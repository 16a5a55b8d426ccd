from __future__ import annotations

import pytest
import torch

from sedmtl.runtime.devices import choose_device, choose_precision
from sedmtl.runtime.errors import SedmtlError


def test_missing_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SedmtlError, match="--gpus 4: found 0 GPUs"):
        choose_device(4)
    assert choose_device(None).type == "cpu"


def test_a_gpu_is_used_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device(None).type == "cuda"
    assert choose_device(0).type == "cpu"
    assert choose_device(2).type == "cuda"


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_precision_follows_the_hardware(monkeypatch, has_bf16, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
    assert choose_precision(torch.device("cpu")) == expected
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_bf16)
    assert choose_precision(torch.device("cuda")) == expected
