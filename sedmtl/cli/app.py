"""The command line: one module of this folder per command.

A command's module holds its options and a function `command`, whose docstring is its help, and is
listed in `COMMANDS`. Slow imports (torch and everything that needs it) are inside that function, to
keep `--help` fast.
"""

from __future__ import annotations

import functools
import inspect
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import sedmtl
from sedmtl.cli import output, train_job
from sedmtl.cli.options import is_debugging
from sedmtl.runtime.errors import SedmtlError, is_out_of_memory
from sedmtl.runtime.process import EXIT_CODE, ending_soon, keep_memory
from sedmtl.runtime.text import printable

COMMANDS = {
    "Start": ("demo", "download", "verify", "folds"),
    "Pipeline": ("mix", "features", "train", "eval", "report"),
    "Use a trained network": ("predict", "visualize", "separate", "embed", "export"),
    "Correct labels": ("review", "relabel"),
    "Maintain": ("check",),
}
"""The commands' modules, by their heading in `--help`."""

SUMMARY = "Weakly labelled sound event detection: mix → features → train → eval → visualize."

INTERRUPTED = "interrupted: rerun the same command to resume it (train needs --resume)"


class Commands(TyperGroup):
    """A group of commands that turns errors into one sentence on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit with 1 on an error, 130 on an interruption."""
        try:
            with ending_soon(INTERRUPTED):
                keep_memory()
                return super().invoke(ctx)
        except SedmtlError as error:
            if is_debugging(ctx):
                raise
            _fail(f"error: {error}", 1)
        except KeyboardInterrupt:
            _fail(INTERRUPTED, EXIT_CODE)
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            # The reader of our output, such as `head`, has closed the pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except Exception as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                _fail(INTERRUPTED, EXIT_CODE)  # Python's own locks can raise another error instead
            if type(error).__module__.startswith(("click", "typer")):
                if isinstance(message := getattr(error, "message", None), str):
                    error.message = printable(message)  # type: ignore[attr-defined]
                raise
            if is_debugging(ctx):
                raise
            _fail(f"error: {_explain(error)}{_keep_traceback(error)}", 1)


def _fail(sentence: str, code: int) -> None:
    from sedmtl.runtime.progress import say

    say(sentence)
    raise typer.Exit(code)


def _explain(error: Exception) -> str:
    if isinstance(error, OSError):
        named = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{named}"
    if is_out_of_memory(error):
        return (
            "there is not enough memory, or a limit on it is too low (ulimit -v): lower "
            "--batch-size, --workers or --width"
        )
    return f"sedmtl has a defect: {type(error).__name__}: {error}"


def _keep_traceback(error: Exception) -> str:
    """Write the traceback to a temporary file, or to stderr if that fails; return where it is."""
    if is_out_of_memory(error):
        return ""
    from sedmtl.runtime.progress import say

    text = "".join(traceback.format_exception(error))
    head = f"sedmtl {sedmtl.__version__}, Python {sys.version}\n{' '.join(sys.argv)}\n\n"
    try:
        descriptor, path = tempfile.mkstemp(".log", "sedmtl-crash-")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(head + text)
    except OSError:  # such as a full disk, which may be the error itself
        for line in [] if isinstance(error, OSError) else text.splitlines():
            say(line)
        return ""
    return f"; the traceback is in {path}"


def _remember_debug(ctx: typer.Context, value: bool) -> bool:
    ctx.find_root().ensure_object(dict)["debug"] = value or is_debugging(ctx)
    return value


Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_remember_debug, help="Show the traceback of an error."),
]


def _takes_debug(command: Callable[..., None]) -> Callable[..., None]:
    """Add `--debug` to a command."""
    debug = inspect.Parameter(
        "debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug
    )

    @functools.wraps(command)
    def with_debug(debug: bool, **arguments: Any) -> None:  # noqa: ARG001 - its callback acts
        command(**arguments)

    signature = inspect.signature(command, eval_str=True)
    parameters = [*signature.parameters.values(), debug]
    with_debug.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_debug.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_debug


def _show_version(value: bool) -> None:
    if value:
        output.echo([f"sedmtl {sedmtl.__version__}"])
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    help=SUMMARY,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Options of `sedmtl` itself."""


for panel, names in COMMANDS.items():
    for name in names:
        module = import_module(f"sedmtl.cli.{name}")
        app.command(name, rich_help_panel=panel)(_takes_debug(module.command))
# For the processes that `train` starts.
app.command("train-job", hidden=True)(_takes_debug(train_job.command))


def _open_standard_streams() -> None:
    """Open closed ones as /dev/null, or the next opened file would receive their output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def run() -> None:
    """Entry point of `sedmtl`; also reports errors from before the command starts."""
    _open_standard_streams()
    try:
        Path.cwd()  # without one, torch would crash the process
    except OSError:
        sys.exit("error: the current folder has been removed: go to another one")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Some terminals lack our characters, and some file names are not valid text.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="sedmtl")
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")
        sys.exit(EXIT_CODE)
    except (MemoryError, OSError, SedmtlError) as error:  # before a command, or in --help
        if "--debug" in sys.argv:
            raise
        explanation = error if isinstance(error, SedmtlError) else _explain(error)
        sys.exit(printable(f"error: {explanation}"))
