from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import invoke

import sedmtl
from sedmtl.cli import app as cli
from sedmtl.cli import options, output
from sedmtl.config import load_config
from sedmtl.evaluation.tables import Table
from sedmtl.runtime import progress

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
COMMANDS = tuple(each.name for each in cli.app.registered_commands if not each.hidden)


def test_help_lists_every_command():
    text = invoke(["--help"]).stdout
    for command in COMMANDS:
        assert re.search(rf"^. {command} ", text, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = invoke([command, "--help"])
    assert result.exit_code == 0
    assert "--debug" in result.stdout


def test_version():
    assert invoke(["--version"]).stdout.strip() == f"sedmtl {sedmtl.__version__}"


@pytest.mark.parametrize("arguments", [["mux"], ["mix", "--snrs", "1"], ["visualize"]])
def test_wrong_usage_exits_with_2(arguments):
    result = invoke(arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_without_a_data_yaml_the_error_says_what_to_do(tmp_path, monkeypatch, one_sentence):
    monkeypatch.chdir(tmp_path)
    one_sentence(invoke(["mix"]), "no data.yaml", "--config", "sedmtl demo")


def test_results_go_to_stdout_and_the_rest_to_stderr(project):
    result = project.run("mix", "--snr", 20)
    assert result.stdout.splitlines() == [str(project.work / "mixtures" / "snr_20.h5")]


def test_debug_shows_the_traceback_of_an_error(project):
    result = project.run("train", "--fold", 1, "--debug")
    assert isinstance(result.exception, sedmtl.runtime.errors.SedmtlError)


def test_debug_may_precede_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(invoke(["--debug", "mix"]).exception, sedmtl.runtime.errors.SedmtlError)
    assert "defect" not in invoke(["mix"]).output


def test_the_processes_of_a_grid_are_debugged_like_their_parent(trained, monkeypatch):
    asked = []
    train_all = "sedmtl.training.grid.runs.train_all"
    monkeypatch.setattr(train_all, lambda *how: asked.append(how[-1]) or [])
    for words in ([], ["--debug"]):
        assert trained.run("train", "--fold", "all", *words).exit_code == 0
    assert [how.debug for how in asked] == [False, True]


def start(*arguments, folder=None, **environment):
    """Run the command line in a process of its own, without a terminal."""
    command = [sys.executable, "-m", "sedmtl", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, env={**os.environ, **environment}, check=False, cwd=folder
    )


LIBRARIES = {"yaml", "numpy", "scipy", "torch", "h5py", "typer", "click", "rich", "matplotlib",
             "pydantic", "soundfile", "soxr", "safetensors", "sklearn", "jinja2", "filelock",
             "sitecustomize", "usercustomize", "torchaudio"}  # fmt: skip


@pytest.mark.slow
def test_nothing_of_the_projects_folder_runs_and_no_matplotlibrc_is_read(trained, tmp_path):
    marker = tmp_path / "marker"
    for name in sys.stdlib_module_names | LIBRARIES:
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (tmp_path / "matplotlibrc").write_bytes(b"savefig.dpi: 9\n\xff\n")
    (clip, *_) = (trained.work / "mixtures" / "snr_20").glob("*.wav")
    config = trained.folder / "data.yaml"
    result = start("visualize", clip, "--config", config, "--out", "a.png", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not marker.exists()
    width, height = struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24])
    assert width > 500
    assert height > 300


def test_help_works_in_an_ascii_terminal():
    result = start("--help", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, b"")
    assert rb"mix \u2192 features" in result.stdout


def test_a_closed_pipe_ends_the_command_quietly():
    command = [sys.executable, "-m", "sedmtl", "download"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_deleted_current_folder_is_one_sentence(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    leave = "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]);"
    code = f"{leave} from sedmtl.cli.app import run; run()"
    result = subprocess.run(
        [sys.executable, "-P", "-c", code, str(gone)], capture_output=True, text=True
    )
    assert (result.returncode, result.stderr) == (
        1, "error: the current folder has been removed: go to another one\n"
    )  # fmt: skip


def test_too_little_memory_is_not_called_a_defect(trained, one_sentence):
    """One layer of 3.6 PB, more than any system can address."""
    arguments = ("--fold", 1, "--width", 10_000_000, "--epochs", 1, "--name", "wide")
    result = trained.run("train", *arguments)
    one_sentence(result, "too little memory", "a smaller --width")
    assert not (trained.work / "runs" / "wide").exists()


@pytest.mark.parametrize("command", ["mix", "features", "predict"])
def test_help_names_the_extra_without_brackets_that_a_terminal_would_take_for_markup(command):
    text = re.sub(r"[\s│]+", " ", invoke([command, "--help"]).output)
    assert "Needs sedmtl's extra dask." in text


def test_a_defect_is_called_one(project, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(options, "load_project", broken)
    monkeypatch.setenv("TMPDIR", str(project.folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    result = project.run("mix")
    assert result.exit_code == 1
    assert "sedmtl has a defect: ZeroDivisionError: by zero; the traceback is in" in result.stderr
    (log,) = project.folder.glob("sedmtl-*.log")
    assert str(log) in result.stderr.replace("\n", "")
    assert "in broken" in log.read_text()


def test_a_defect_whose_log_cannot_be_written_prints_its_traceback(project, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(options, "load_project", broken)
    monkeypatch.setattr("tempfile.mkstemp", full)
    *traceback, sentence = project.run("mix").stderr.splitlines()
    assert any(line.endswith("in broken") for line in traceback)
    assert sentence == "error: sedmtl has a defect: ZeroDivisionError: by zero"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize(
    ("option", "what"), [("--version", "cannot print the results on stdout: "), ("--help", "")]
)
def test_output_to_a_full_disk_is_one_sentence(option, what):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "sedmtl", option]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert result.stderr == f"error: {what}No space left on device\n"


def full(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("printer", ["typer.echo", "rich.console.Console.print"])
def test_results_that_cannot_be_printed_are_one_sentence_without_a_traceback(
    project, one_sentence, monkeypatch, printer
):
    def show(_):
        output.show([Table("title", ("column",), [("cell",)])])
        output.echo(["line"])

    monkeypatch.setattr(printer, full)
    monkeypatch.setattr(options, "load_project", show)
    monkeypatch.setattr(progress, "say", lambda text: print(text, file=sys.stderr))
    result = project.run("mix")
    one_sentence(result, "cannot print the results on stdout: No space left on device")
    assert "traceback" not in result.stderr


def test_a_log_on_a_full_disk_does_not_end_the_work(monkeypatch):
    class Disk(io.StringIO):
        write = full

    monkeypatch.setattr(progress.console, "_file", Disk())
    progress.say("lost")
    there = io.StringIO()
    monkeypatch.setattr(progress.console, "_file", there)
    progress.say("space again")
    assert there.getvalue() == "space again\n"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        SystemError("<built-in method> returned NULL without setting an exception"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_too_little_memory_is_one_sentence_wherever_it_shows(
    project, one_sentence, monkeypatch, error, is_first
):
    def fail(_):
        if is_first:
            raise error
        raise ValueError("what came of it") from error

    monkeypatch.setattr(options, "load_project", fail)
    monkeypatch.setattr("tempfile.tempdir", str(project.folder))
    one_sentence(project.run("mix"), "there is not enough memory", "ulimit -v")
    assert not list(project.folder.glob("sedmtl-*.log"))


def test_other_errors_are_not_called_too_little_memory(project, monkeypatch):
    def fail(_):
        raise ImportError("libtorch_cpu.so: no such file")

    monkeypatch.setattr(options, "load_project", fail)
    monkeypatch.setattr("tempfile.tempdir", str(project.folder))
    assert "defect: ImportError: libtorch_cpu.so: no such" in project.run("mix").stderr


def test_an_interruption_says_how_to_resume(project, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(options, "load_project", interrupted)
    result = project.run("mix")
    assert result.exit_code == 130
    assert "rerun the same command to resume it" in result.stderr


def test_a_work_folder_that_cannot_be_written_is_one_sentence(project, one_sentence):
    (project.folder / "work").write_text("a file where the folder should be")
    one_sentence(project.run("mix"), "cannot write into", "work/mixtures")


def test_the_readme_and_the_docs_use_only_commands_and_options_that_exist(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    helps = {command: invoke([command, "--help"]).stdout for command in COMMANDS}
    text = "".join(path.read_text() for path in (README, *(ROOT / "docs").glob("*.md")))
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    calls = re.findall(r"^sedmtl (.*?)(?:\s+#.*)?$", "".join(blocks), re.MULTILINE)
    assert len(calls) >= 5
    for call in calls:
        command, *words = call.split()
        assert command in helps, call
        for option in (word for word in words if word.startswith("--")):
            assert option in helps[command], call


def test_the_yaml_of_the_readme_is_valid(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "data.yaml"
        path.write_text(block)
        load_config(path)


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_file_never_takes_the_place_of_a_closed_stream(closed):
    """Otherwise an error message would be written into the file."""
    code = (
        f"import os, sys; os.close({closed}); sys.argv = ['sedmtl', '--version']\n"
        "from sedmtl.cli.app import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "sys.exit(os.open(os.devnull, os.O_RDONLY))\n"
    )
    pipe = subprocess.PIPE
    ended = subprocess.run(
        [sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, check=False
    )
    assert ended.returncode > 2, ended.stderr
