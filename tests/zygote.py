"""The command line in processes that start in milliseconds and end at a chosen moment.

A zygote imports everything once, computes nothing, and forks a child for each command. A moment is
an event, not a time: in the writing thread, the k-th start or end of a call that touches the disk
(`disk`), or of any call once the command has been invoked (`any`). It does not depend on the speed
of the machine.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import subprocess
import sys
from dataclasses import dataclass
from types import ModuleType

DISK = frozenset((
    "write", "flush", "replace", "rename", "unlink", "mkdir", "rmdir", "truncate",
    "posix_fallocate", "close", "flock", "__setitem__", "create_dataset", "write_text",
    "write_bytes",
))  # fmt: skip
"""Names of functions of the system, h5py and sedmtl that change files or folders."""

DEAF = ("weakref.py", "threading.py")
"""Modules in which Python itself swallows an interruption or turns it into another error."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Exit code; negative: ended by that signal.
        n_moments: The number of moments that it had.
        moment: Where the signal was sent, if it got that far.
    """

    code: int
    stdout: str
    stderr: str
    n_moments: int
    moment: str


class Zygote:
    """A context manager that runs commands in forked children."""

    def __enter__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=pipe, stdout=pipe, text=True, env=environment
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def run(self, folder, *words, sign=None, at=0, among=None, max_file=None):
        """Run a command of the project in a folder.

        Args:
            folder: The current folder of the command; contains a data.yaml.
            words: The command and its arguments.
            sign: The signal that ends it, or None to let it finish.
            at: The number of the moment, from 1.
            among: Which moments count: `disk`, `any`, or None for none, which takes half the time.
            max_file: Limit on the size of files, in bytes.
        """
        request = [str(folder), [str(word) for word in words], sign, at, among, max_file]
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return Ended(*json.loads(self._process.stdout.readline()))


def main():
    """Import everything and build the command line, then fork a child for each line of stdin."""
    import torch
    import torch._dynamo  # otherwise every training would take its two seconds
    import typer

    import sedmtl
    from sedmtl.training import cost

    cost.BRIEF_S = float("inf")  # as many calls each time, however busy the machine is
    for found in pkgutil.walk_packages(sedmtl.__path__, "sedmtl."):
        if found.name != "sedmtl.__main__":
            importlib.import_module(found.name)
    command = typer.main.get_command(importlib.import_module("sedmtl.cli.app").app)
    for each in command.commands.values():
        for parameter in each.params:
            if hasattr(parameter, "get_runtime_param"):  # newer versions, which cache it
                parameter.get_runtime_param()
    torch.set_num_threads(1)
    gc.freeze()  # otherwise a child's first full collection copies all shared memory
    for line in sys.stdin:
        print(json.dumps(_fork(command, *json.loads(line))), flush=True)


def _fork(command, folder, words, sign, at, among, max_file):
    # Pipes, to which a limit on files does not apply; no command fills them.
    pipes = [os.pipe() for _ in ("stdout", "stderr", "report")]
    if not (child := os.fork()):
        for number in (1, 2):
            os.dup2(pipes[number - 1][1], number)
        _Child(pipes[2][1], sign, at).run(command, folder, words, among, max_file)
    _, status = os.waitpid(child, 0)
    contents = [_drain(*pipe) for pipe in pipes]
    n_moments, _, moment = contents[2].partition(" ")
    return [os.waitstatus_to_exitcode(status), *contents[:2], int(n_moments or 0), moment]


def _drain(end, start):
    os.close(start)
    with os.fdopen(end, "rb") as opened:
        return opened.read().decode()


class _Child:
    """A process that runs one command."""

    def __init__(self, report, sign, at):
        self.report, self.sign, self.at = report, sign, at
        self.invoked, self.n_moments = False, 0

    def run(self, command, folder, words, among, max_file):
        code = 1
        try:
            os.chdir(folder)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            if max_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (max_file, max_file))
            sys.setprofile({"disk": self.count_disk, "any": self.count_any, None: None}[among])
            command(words, prog_name="sedmtl")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.setprofile(None)
            if self.sign is None:
                self.tell("")
            sys.stdout.flush()
            os._exit(code)

    def count_disk(self, frame, event, argument):
        # Check the name first: few of a training's million events have one of these.
        name = argument.__name__ if event[1] == "_" else frame.f_code.co_name
        if name in DISK and _touches_disk(frame, event, argument):
            self.count(frame, event, name)

    def count_any(self, frame, event, argument):
        """Count calls once typer has parsed the command line."""
        code = frame.f_code
        name = argument.__name__ if event[1] == "_" else code.co_name
        if code.co_name == "ending_soon":
            self.invoked = True
        if self.invoked and not code.co_filename.endswith(DEAF):
            self.count(frame, event, name)

    def count(self, frame, event, name):
        self.n_moments += 1
        if self.n_moments != self.at or self.sign is None:
            return
        sys.setprofile(None)
        self.tell(f"{event} {name} in {frame.f_code.co_filename}:{frame.f_lineno}")
        os.kill(os.getpid(), self.sign)

    def tell(self, moment):
        os.write(self.report, f"{self.n_moments} {moment}".encode())


def _touches_disk(frame, event, argument):
    """Whether a function with a name in `DISK` really touches the disk."""
    if event[1] != "_":
        file = frame.f_code.co_filename
        return "/h5py/" in file or "/sedmtl/" in file
    # Excludes `replace` and `write` of text.
    kinds = (ModuleType, io.BufferedIOBase, io.RawIOBase)
    return isinstance(getattr(argument, "__self__", None), kinds)


if __name__ == "__main__":
    main()
