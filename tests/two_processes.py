"""The work of two processes in test_distributed: `python two_processes.py FOLDER DATA_YAML`.

They are forked with everything imported, because torchrun would import torch three times. Each
saves its results as `FOLDER/RANK.pt`; their stderr of a command that fails is `FOLDER/refusal.txt`,
and what `sedmtl train --gpus 2` prints, they print. This module imports no pytest and has no tests.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sedmtl.cli.app import app
from sedmtl.features.targets import CLASS_MELS, CLEAN
from sedmtl.inference.weights import join_weights
from sedmtl.logmel import Standardiser
from sedmtl.models.atrous import AtrousSettings
from sedmtl.models.heads import Sizes
from sedmtl.models.pooled import PooledSettings
from sedmtl.models.vggish import GmpSettings
from sedmtl.runtime import distributed
from sedmtl.store import ClipTable, EventTable, RowArray
from sedmtl.training.batches import BatchLoader
from sedmtl.training.config import TrainConfig
from sedmtl.training.cost import choose_micro_batch
from sedmtl.training.grid import runs
from sedmtl.training.known import POLYPHONY, SCENE
from sedmtl.training.loop import Trainer
from sedmtl.training.split import split_rows
from sedmtl.training.tasks import build_tasks
from sedmtl.training.workload import Workload

BASE = TrainConfig.of(
    {"data": "snr_10", "fold": 1, "width": 2, "epochs": 2, "batch_size": 7, "seed": 5}
)
# 24 clips to train on; 2 processes share batches of ...
RECIPES = {
    "24": replace(BASE, batch_size=24, epochs=12),  # one step per epoch
    "7, 7, 7, 3": BASE,  # unequal shares
    "7 as 3, 3, 1": replace(BASE, micro_batch=3),
    "frozen encoder": replace(BASE, parent="parent", freeze_encoder=True),
    "23, 1": replace(  # an empty share
        BASE, batch_size=23, tasks={"reconstruct": "auto", "count": "dwa", "scene": 0.5}
    ),
    "without decoder": replace(BASE, tasks={}),
    "heads": replace(  # all tasks with heads, also with an empty share
        BASE,
        network=PooledSettings(2, dropout=0.0),
        batch_size=23,
        tasks={"denoise": 0.1, "separate": "auto", "count": 0.1, "active": "dwa", "scene": 0.1},
    ),
    "balanced": replace(BASE, balanced=True, class_weights=True),
    "gmp": replace(BASE, network=GmpSettings(2), tasks={}, batch_size=23),
    "atrous": replace(BASE, network=AtrousSettings(2), tasks={}, batch_size=23),
}
GIVEN = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK")
"""Variables by which processes find each other, as torchrun sets them."""
JOINT = (
    "--fold", "1", "--gpus", "2", "--epochs", "3", "--name", "joint", "--width", "2",
    "--batch-size", "6", "--precision", "float32",
)  # fmt: skip
"""Options of a run that two processes train; `trained` has that of one."""
LOAD = Workload(3, {"logmel": RowArray((40, 8), np.float32)}, 40, n_train=20, n_scored=20)
SIZES = Sizes(3, 12, 8, ("street", "park"))
N_JOINED = (7, 1)
"""Batch sizes on which batch norm is tested; the second leaves one share empty."""


def make_clips():
    """Log-mel (n, T, F), target (n, C) and fold (n,) of 40 clips."""
    rng = np.random.default_rng(1)
    target = (rng.random((40, 3)) < 0.5).astype(np.uint8)
    logmel = rng.normal(size=(40, 12, 8)).astype(np.float32)
    logmel[:, :, :6:2] += 4 * target[:, None, :]
    return logmel, target, (np.arange(40) % 4 + 1).astype(np.uint8)


def train(recipe):
    """Train, and return everything that should not depend on the number of processes."""
    logmel, target, fold = make_clips()
    validation = (np.arange(40) % 5 == 0).astype(np.uint8)
    table = ClipTable([""] * 40, target, fold, validation, [""] * 40, EventTable.empty())
    split = split_rows(table, recipe.fold)
    torch.manual_seed(recipe.seed)
    network = recipe.network.build(3, 12, 8)
    standardiser = Standardiser.fit([logmel[split.training_folds]])
    cpu = torch.device("cpu")
    polyphony = np.repeat(target.sum(axis=1, keepdims=True, dtype=np.uint8), 12, axis=1)
    arrays = {"logmel": logmel, POLYPHONY: polyphony, SCENE: target[:, 0]}
    # A part of each class's events, which are half of the mixture.
    parts = np.linspace(0, 0.5, 3)[:, None, None] * np.exp(logmel)[:, None]
    arrays |= {CLEAN: logmel - np.log(2, dtype=np.float32), CLASS_MELS: parts.astype(np.float16)}
    reads = {name: partial(np.take, each, axis=0) for name, each in arrays.items()}
    loader = BatchLoader(reads, target, cpu, resident=False)
    tasks = build_tasks(recipe.tasks, recipe.network, SIZES)
    trainer = Trainer(network, tasks, {"logmel": standardiser}, loader, target, split, recipe, cpu)
    before = torch.from_numpy(trainer.score(np.arange(40)))
    history = list(trainer.fit(lambda _: None))
    return {
        "before": before,
        "history": [{k: v for k, v in r.items() if not k.startswith("seconds")} for r in history],
        "weights": join_weights(network, trainer.heads),
        "honest": trainer.best["honest"].weights,
    }


def normalise(n):
    """Batch norm of n clips shared by the processes: outputs, gradients, state."""
    generator = torch.Generator().manual_seed(n)
    whole = 3 + 2 * torch.randn(n, 4, 5, 6, generator=generator)
    wanted = torch.randn(n, 4, 5, 6, generator=generator)
    mine = torch.from_numpy(distributed.share(np.arange(n)))
    network = nn.Sequential(nn.BatchNorm2d(4))
    nn.init.uniform_(network[0].weight, generator=generator)
    network = distributed.join_batch_norm(network)
    x = whole[mine].requires_grad_()
    y = network(x)
    (y * wanted[mine]).sum().backward()
    joined, gradient = torch.zeros_like(whole), torch.zeros_like(whole)
    joined[mine], gradient[mine] = y.detach(), x.grad
    return {
        "output": distributed.add_up(joined),
        "input gradient": distributed.add_up(gradient),
        "weight gradient": distributed.add_up(network[0].weight.grad),
        "bias gradient": distributed.add_up(network[0].bias.grad),
        **network.state_dict(),
    }


def main(folder, data_yaml):
    importlib.import_module("torch._dynamo")  # otherwise every optimiser would
    found, refused = both(partial(find, folder)), both(partial(refuse, folder, data_yaml))
    if (found, refused) != ([0, 0], [1, 1]):
        sys.exit(f"expected exit codes of 0 and 1, found {found} and {refused}")
    train_together(data_yaml)


def both(act):
    """Run a function in two processes that find each other; returns their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [
        fork(dict(zip(GIVEN, ("127.0.0.1", port, 2, n, n), strict=True)), act) for n in (0, 1)
    ]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def fork(given, act):
    """Start a process with additional environment variables; returns its id."""
    if child := os.fork():
        return child
    code = 2
    try:
        os.environ |= {key: str(value) for key, value in given.items()}
        act()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def find(folder):
    """Save all results of a process in its file."""
    with distributed.session(None):
        rank = distributed.rank()
        found = {
            "shares": [distributed.share(np.arange(n)).tolist() for n in (7, 1)],
            "first": distributed.first(lambda: f"said by {rank}"),
            "at once": choose_micro_batch(BASE, LOAD, torch.device("cpu")),
            "normalised": {n: normalise(n) for n in N_JOINED},
            "trained": {name: train(recipe) for name, recipe in RECIPES.items()},
        }
        torch.save(found, folder / f"{rank}.pt")


def refuse(folder, data_yaml):
    """Run a command with fewer clips per batch than processes."""
    os.dup2(os.open(folder / "refusal.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    distributed.PATIENCE_S = 0.0  # no launcher ends the process that waits
    options = ("--fold", "1", "--batch-size", "1", "--config", data_yaml)
    app(["train", *options], prog_name="sedmtl")


def train_together(data_yaml):
    """Run `sedmtl train --gpus 2` with a launcher that forks; only this process sees the GPUs."""
    real_count, torch.cuda.device_count = torch.cuda.device_count, lambda: 2

    def launch(command, n_processes):
        torch.cuda.device_count = real_count
        assert (command[:3], n_processes) == (["-P", "-m", "sedmtl"], 2)
        assert both(partial(app, command[3:], prog_name="sedmtl")) == [0, 0]

    runs.launch = launch
    app(["train", *JOINT, "--config", data_yaml], prog_name="sedmtl")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
