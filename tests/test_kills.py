"""A command killed at any moment loses nothing: a rerun resumes it.

The results are compared with those of an uninterrupted run, byte for byte except for times.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from conftest import COARSE_YAML, write_project
from zygote import Zygote

from sedmtl.cli.app import INTERRUPTED
from sedmtl.runtime.lock import folder_lock

pytestmark = pytest.mark.slow

SMALL = ("--width", 2, "--alpha", 0, "--epochs", 2, "--batch-size", 24, "--precision", "float32")
MIX = ("mix", "--stems", "--wav", 2)
FEATURES = ("features",)
TRAIN = ("train", "--snr", 20, "--fold", 1, *SMALL)
GRID = ("train", "--snr", 20, "--fold", 2, "--fold", 3, "--model", "gap", *SMALL)
PREDICT = ("predict", "scenes", "--format", "audacity", "--format", "raven", "--tags")

RUN = "2apae_snr20_fold1_alpha0_seed0"

MADE_ANEW = ("mix", "--config", "other.yaml")
LONGER = (*TRAIN, "--epochs", 3, "--resume")
FORCED = (*TRAIN, "--lr", 0.01, "--force")
STRICTER = (*PREDICT, "--threshold", 0.4)

KILLS = (signal.SIGKILL, signal.SIGTERM)
CHAIN = 3
"""Kills in a row before a command may finish."""


@dataclass(frozen=True)
class Case:
    """A command, and how often to kill it.

    Attributes:
        before: The commands that were run before it.
        words: The command.
    """

    name: str
    before: tuple[tuple, ...]
    words: tuple
    n_kills: int

    @property
    def again(self):
        """The command that resumes it."""
        goes_on = self.words[0] != "train" or {"--resume", "--force"} & set(self.words)
        return self.words if goes_on else (*self.words, "--resume")


CASES = (
    Case("mix", (), MIX, 18),
    Case("mix anew", (MIX,), MADE_ANEW, 9),
    Case("features", (MIX,), FEATURES, 18),
    Case("train", (MIX, FEATURES), TRAIN, 9),
    Case("train longer", (MIX, FEATURES, TRAIN), LONGER, 3),
    Case("train anew", (MIX, FEATURES, TRAIN), FORCED, 3),
    Case("grid", (MIX, FEATURES), GRID, 3),
    Case("predict", (MIX, FEATURES, TRAIN), PREDICT, 15),
    Case("predict anew", (MIX, FEATURES, TRAIN, PREDICT), STRICTER, 6),
)
PLAIN = tuple(case for case in CASES if case.name in ("mix", "features", "train", "predict"))


class World:
    """A project whose work folder can be put into the state after any commands.

    Attributes:
        n_moments: The moments among disk changes that the last of some commands has.
    """

    def __init__(self, folder, zygote):
        few = COARSE_YAML.replace("mixtures_per_fold: 6", "mixtures_per_fold: 3")
        self.folder, self.zygote = write_project(folder / "world", few), zygote
        self.work = self.folder / "work"
        config = (self.folder / "data.yaml").read_text()
        (self.folder / "other.yaml").write_text(config.replace("mixing:", "mixing:\n  seed: 1"))
        (self.folder / "many.yaml").write_text(
            config.replace("mixtures_per_fold: 3", "mixtures_per_fold: 60\n  reuse_scenes: true")
        )
        self.n_moments: dict[tuple, int] = {}
        self._states = folder / "states"
        self._known: dict[tuple, object] = {}

    def go_to(self, commands):
        """Put the work folder into its state after these commands."""
        shutil.rmtree(self.work, ignore_errors=True)
        if not commands:
            return
        if commands not in self._known:
            self.go_to(commands[:-1])
            ended = self.run(*commands[-1], among="disk")
            assert ended.code == 0, ended.stderr
            self.n_moments[commands] = ended.n_moments
            self._known[commands] = self._states / str(len(self._known))
            shutil.copytree(self.work, self._known[commands])
            return
        shutil.copytree(self._known[commands], self.work, dirs_exist_ok=True)

    def run(self, *words, **moment):
        """Run a command (`Zygote.run`)."""
        return self.zygote.run(self.folder, *words, **moment)

    def n_bytes(self, commands):
        """Disk space of the work folder after these commands."""
        paths = self._known[commands].rglob("*") if commands else ()
        return sum(4_096 + 512 * path.stat().st_blocks for path in paths)

    def contents(self):
        """The visible files, except the state of a training, which contains times."""
        names = [path.relative_to(self.work) for path in self.work.rglob("*") if path.is_file()]
        return {
            name.as_posix(): _content(self.work / name)
            for name in sorted(names)
            if name.name != "last.pt" and not any(part.startswith(".") for part in name.parts)
        }

    def hidden(self):
        """The hidden files and folders, except locks."""
        hidden = [path for path in self.work.rglob(".*") if path.name != ".sedmtl.lock"]
        return {path.relative_to(self.work).as_posix() for path in hidden}


def _content(path):
    if path.name == "metrics.jsonl":
        return b"".join(_timeless(line) for line in path.read_bytes().splitlines())
    if path.name == "journal.jsonl":
        # Scores depend on their batch by 1e-7, and the last line may be incomplete.
        lines = [line for line in path.read_bytes().splitlines(keepends=True) if b"\n" in line]
        return [json.loads(line).get("path") for line in lines]
    return path.read_bytes()


def _timeless(line):
    record = json.loads(line)
    return json.dumps({k: v for k, v in record.items() if "seconds" not in k}).encode() + b"\n"


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as started:
        yield started


@pytest.fixture(scope="module")
def world(tmp_path_factory, zygote):
    return World(tmp_path_factory.mktemp("kills"), zygote)


def named(case):
    return case.name


def is_error(ended, *parts):
    """Whether a command failed with exit code 1 and one sentence."""
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    return (
        (ended.code, len(errors), ended.stdout) == (1, 1, "")
        and not any(word in ended.stderr for word in ("Traceback", "defect", "--debug"))
        and all(part in errors[0] for part in parts)
    )


def half_made(left, *states):
    """Files that match none of the states, except those that grow."""
    growing = ("journal.jsonl", "metrics.jsonl")
    return [
        name
        for name, content in left.items()
        if not name.endswith(growing) and content not in [state.get(name) for state in states]
    ]


def test_there_are_enough_kills():
    assert sum(case.n_kills for case in CASES) >= 80


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_killed_command_resumes_to_the_same_bytes(world, case):
    world.go_to(case.before)
    before = world.contents()
    done = (*case.before, case.words)
    world.go_to(done)
    n_moments = world.n_moments[done]
    goal, hidden = world.contents(), world.hidden()
    chance, n_kills = random.Random(case.name), 0
    while n_kills < case.n_kills:
        world.go_to(case.before)
        words, moments = case.words, []
        while len(moments) < CHAIN:
            # A resumed command has fewer moments left.
            at = chance.randint(1, n_moments // (1 + len(moments)))
            sign = chance.choice(KILLS)
            ended = world.run(*words, sign=sign, at=at, among="disk")
            if ended.code == 0:
                break
            assert ended.code == -sign, (moments, ended)
            moments.append(f"{sign.name} {ended.moment}")
            assert not half_made(world.contents(), goal, before), moments
            words = case.again
        assert world.run(*words).code == 0, moments
        assert world.contents() == goal, moments
        assert world.hidden() == hidden, moments
        n_kills += len(moments)


def test_after_a_killed_force_no_other_recipe_resumes(world):
    """Without --force the command is refused, or does what it would do in an empty folder."""
    before = (MIX, FEATURES, TRAIN)
    world.go_to((*before, FORCED))
    goal = world.contents()
    unforced = (*FORCED[:-1], "--resume")
    ends = set()
    for at in range(1, 50, 6):  # from about the 27th on, the other recipe has a folder
        world.go_to(before)
        killed = world.run(*FORCED, sign=signal.SIGKILL, at=at, among="disk")
        assert killed.code == -signal.SIGKILL
        ended = world.run(*unforced)
        ends.add(ended.code)
        assert is_error(ended, "--force") or world.contents() == goal, ended
    assert ends == {0, 1}


@pytest.mark.parametrize("case", PLAIN, ids=named)
def test_ctrl_c_says_how_to_resume_and_loses_nothing(world, case):
    world.go_to(case.before)
    whole = world.run(*case.words, among="any")
    world.go_to((*case.before, case.words))
    goal, hidden = world.contents(), world.hidden()
    chance = random.Random(case.name)
    for _ in range(2):
        world.go_to(case.before)
        words = case.words
        for n_before in range(2):
            at = chance.randint(1, whole.n_moments // (1 + 4 * n_before))
            ended = world.run(*words, sign=signal.SIGINT, at=at, among="any")
            said = [line for line in ended.stderr.splitlines() if INTERRUPTED in line]
            assert (ended.code, said) == (130, [INTERRUPTED]), ended
            assert "Traceback" not in ended.stderr
            assert "error" not in ended.stderr
            assert ended.stdout in ("", whole.stdout)
            # The signal may have come before there was anything to resume.
            words = case.again
        assert world.run(*words).code == 0
        assert world.contents() == goal, ended.moment
        assert world.hidden() == hidden, ended.moment


@pytest.mark.parametrize(
    ("case", "limit"),
    [(case, limit) for case in PLAIN for limit in (0, 1_000, 300_000)],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_failed_write_is_reported_and_finished_work_stays(world, case, limit):
    """A limit on file sizes makes writing fail as on a full disk."""
    world.go_to((*case.before, case.words))
    goal = world.contents()
    world.go_to(case.before)
    ended = world.run(*case.words, max_file=limit)
    assert is_error(ended, "cannot write") or (ended.code == 0 and limit), ended
    assert not half_made(world.contents(), goal)
    assert world.run(*case.again).code == 0
    assert world.contents() == goal


def test_scores_without_space_are_reported_and_written_later(world):
    before = (MIX, FEATURES, TRAIN)
    world.go_to(before)
    goal, run = world.contents(), next((world.work / "runs").iterdir())
    for name in ("model.safetensors", "model.json", "scores.h5"):  # written after the last epoch
        (run / name).unlink()
    assert is_error(world.run(*TRAIN, "--resume", max_file=4_000), "scores.h5", "too large")
    assert not (run / "model.safetensors").exists()
    assert world.run(*TRAIN, "--resume").code == 0
    assert world.contents() == goal


def test_a_wav_file_without_space_is_reported_and_absent(world):
    world.go_to((("mix",),))
    small = ("mix", "--wav", 2)
    # Everything but the WAV files exists; the plan and the events' audio are smaller than those.
    (world.folder / "short.yaml").write_text(
        (world.folder / "data.yaml").read_text().replace("event_s: 0.5", "event_s: 0.01")
    )
    assert world.run("mix", "--config", "short.yaml").code == 0
    ended = world.run(*small, "--config", "short.yaml", max_file=20_000)
    assert is_error(ended, ".wav", "too large"), ended
    assert not [path for path in world.work.rglob("*.wav") if not path.name.startswith(".")]


OBSTACLES = (
    # A file in place of a folder ...
    ("mix", (), "mixtures", "file"),
    ("features", (MIX,), "features", "file"),
    ("train", (MIX, FEATURES), "runs", "file"),
    ("predict", (MIX, FEATURES, TRAIN), "predictions", "file"),
    # ... or a folder in place of a file.
    ("mix", (), "mixtures/snr_20.h5", "folder"),
    ("mix", (), "mixtures/.snr_0.h5.part", "folder"),
    ("mix", (), "mixtures/plan.yaml", "folder"),
    ("features", (MIX,), "features/snr_0.h5", "folder"),
    ("train", (MIX, FEATURES), f"runs/{RUN}/run.yaml", "folder"),
    ("train", (MIX, FEATURES), f"runs/{RUN}/last.pt", "folder"),
    ("train", (MIX, FEATURES), f"runs/{RUN}/metrics.jsonl", "folder"),
    ("train", (MIX, FEATURES), f"runs/{RUN}/scores.h5", "folder"),
    ("train", (MIX, FEATURES), f"runs/{RUN}/model.safetensors", "folder"),
    ("predict", (MIX, FEATURES, TRAIN), "predictions/journal.jsonl", "folder"),
    ("predict", (MIX, FEATURES, TRAIN), "predictions/events.tsv", "folder"),
    ("predict", (MIX, FEATURES, TRAIN), "predictions/tags.tsv", "folder"),
    # Every command has the lock.
    ("mix", (), "mixtures/.sedmtl.lock", "folder"),
)
WORDS = {"mix": MIX, "features": FEATURES, "train": TRAIN, "predict": PREDICT}


@pytest.mark.parametrize(("command", "before", "name", "kind"), OBSTACLES)
def test_an_obstacle_is_named_and_the_command_works_once_it_is_removed(
    world, command, before, name, kind
):
    world.go_to((*before, WORDS[command]))
    goal = world.contents()
    world.go_to(before)
    path = world.work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if kind == "folder" else path.write_text("in the way")
    ended = world.run(*WORDS[command])
    assert is_error(ended, path.name.removeprefix(".").removesuffix(".part")), ended
    path.rmdir() if kind == "folder" else path.unlink()
    resume = ["--resume"] if command == "train" else []
    assert world.run(*WORDS[command], *resume).code == 0
    assert world.contents() == goal


@pytest.fixture
def mount(world):
    """A function that mounts an empty in-memory file system over the work folder."""
    mounted = []

    def mount_over(options):
        world.go_to(())
        world.work.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "sedmtl", world.work]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a file system")
        mounted.append(world.work)

    yield mount_over
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("case", PLAIN, ids=named)
def test_a_folder_that_is_read_only_is_named(world, mount, case):
    world.go_to(case.before)
    mount("size=40m")
    world.go_to(case.before)
    subprocess.run(["mount", "-o", "remount,ro", world.work], check=True)
    assert is_error(world.run(*case.words), "cannot write", "Read-only"), case


@pytest.mark.parametrize("case", PLAIN[:3], ids=named)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_disk_that_is_too_small_is_reported_and_more_space_helps(world, mount, case, share):
    world.go_to((*case.before, case.words))
    goal = world.contents()
    n_before, n_after = world.n_bytes(case.before), world.n_bytes((*case.before, case.words))
    mount(f"size={n_before + round(share * (n_after - n_before))}")
    world.go_to(case.before)
    ended = world.run(*case.words)
    assert is_error(ended, "free") or is_error(ended, "No space left"), ended
    subprocess.run(["mount", "-o", "remount,size=40m", world.work], check=True)
    assert world.run(*case.again).code == 0
    assert world.contents() == goal


@pytest.mark.parametrize(
    ("case", "folder"),
    list(zip(PLAIN, ("mixtures", "features", f"runs/{RUN}", "predictions"), strict=True)),
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_second_command_in_the_same_folder_names_the_first(world, case, folder):
    world.go_to(case.before)
    before = world.contents()
    with folder_lock(world.work / folder, "sedmtl other"):
        ended = world.run(*case.words)
        assert is_error(ended, "in use by 'sedmtl other'", f"process {os.getpid()} on"), ended
        assert world.contents() == before
    assert world.run(*case.words).code == 0


def test_a_run_of_a_grid_that_another_command_trains_leaves_the_others_alone(world):
    world.go_to((MIX, FEATURES))
    busy, free = (world.work / "runs" / f"gap_snr20_fold{fold}_alpha0_seed0" for fold in (2, 3))
    with folder_lock(busy, "sedmtl train"):
        assert is_error(world.run(*GRID), "1 of 2 runs failed", "in use by 'sedmtl train'")
    assert (free / "model.safetensors").is_file()
    assert not (busy / "model.safetensors").exists()


def test_commands_that_only_read_ignore_the_locks(world):
    world.go_to((MIX, FEATURES, TRAIN))
    with ExitStack() as locks:
        for name in ("mixtures", "features", f"runs/{RUN}"):
            locks.enter_context(folder_lock(world.work / name, "sedmtl other"))
        assert world.run("eval").code == 0
        assert world.run("predict", "scenes").code == 0


@pytest.mark.parametrize("sign", KILLS)
def test_a_kill_from_another_process_loses_nothing_either(world, sign):
    """As soon as a store's first rows are written; how many more there are is chance."""
    many = ("mix", "--config", "many.yaml", "--snr", 0)
    world.go_to((many,))
    goal = world.contents()
    world.go_to(())
    command = [sys.executable, "-m", "sedmtl", *map(str, many)]
    with subprocess.Popen(command, cwd=world.folder, stderr=subprocess.DEVNULL) as process:
        while not (world.work / "mixtures" / ".snr_0.h5.progress").is_file():
            assert process.poll() is None
        process.send_signal(sign)
        assert process.wait() == -sign
    assert not world.contents()
    assert world.run(*many).code == 0
    assert world.contents() == goal
