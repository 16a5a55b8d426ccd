"""Foreign names are inert: no terminal, table or spreadsheet interprets them."""

from __future__ import annotations

import ast
import csv
import html
import io
import re
import unicodedata

import pytest
from conftest import invoke
from markdown_it import MarkdownIt
from rich.console import Console
from test_layers import FILES, dotted

from sedmtl.cli.output import echo, show
from sedmtl.evaluation.tables import Table, to_markdown
from sedmtl.runtime import progress
from sedmtl.runtime.text import counted, csv_cell, markdown_cell, printable

HOSTILE = [
    "[male]", "[/red]", "[bold]x", ":bomb:", "a|b", "=cmd()", "@SUM(A1)", "\x1b[31mred", "a\nb",
    "a\rb", "\x9b2J", "\x07", "\udcff.wav", "\u202egpj.exe", "**b**", "_x_", "a_b", "`code`",
    "<script>", "&amp;", "[l](http://x)", "![i](x)", "~~s~~", "\\", "\\|", "# h", "$x^2$",
    "日本", "😀", "",
]  # fmt: skip


def is_inert(text):
    """No character moves the cursor, reverses the direction of writing, or cannot be encoded."""
    kinds = {unicodedata.category(each) for each in text} - {"Cf"}
    return not kinds & {"Cc", "Cs", "Zl", "Zp"} and not re.search(
        "[\u202a-\u202e\u2066-\u2069]", text
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Dog [male] :bomb: ü 日本 😀", "Dog [male] :bomb: ü 日本 😀"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\nerror: b", r"a\r\nerror: b"),
        ("\udcff.wav", r"\udcff.wav"),
        ("\u202efdp.wav", r"\u202efdp.wav"),
        ("a\tb", "a\tb"),
    ],
)
def test_control_characters_are_spelt_out_and_all_else_is_kept(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_no_character_controls_a_terminal_or_ends_a_line():
    every = "".join(map(chr, range(0x11_0000))).replace("\t", "")
    shown = printable(every)
    assert is_inert(shown)
    assert shown.splitlines() == [shown]
    shown.encode()


def cells_of(markdown):
    """The cells of a table's body by an independent Markdown parser."""
    page = MarkdownIt().enable(["table", "strikethrough"]).render(markdown)
    return [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page, re.DOTALL)]


@pytest.mark.parametrize("name", [name for name in HOSTILE if name])
def test_a_cell_of_markdown_shows_the_name(name):
    table = Table(f"scores of {name}", (name, "AUC"), [[name, ".500"], ["dog", "-.100"]], [name])
    markdown = to_markdown([table])
    assert cells_of(markdown) == [printable(name), ".500", "dog", "-.100"]
    page = html.unescape(MarkdownIt().enable(["table", "strikethrough"]).render(markdown))
    assert f"<h2>scores of {printable(name)}</h2>" in page
    assert f"<li>{printable(name)}</li>" in page or name == "# h"


def test_text_that_markdown_leaves_alone_is_not_escaped():
    for text in ("tone_300", "micro-P", ".901±.023", "Glöckchen 95 %", "a, b; c (d) e.f", "-.5"):
        assert markdown_cell(text) == text


FORMULAS = ["=cmd|' /C calc'!A0", "+1+2", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=1", "-", "-x.wav"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_text_in_a_spreadsheet(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1.5", "+3", "-0.001", "1e-5", "-1e5", "Dog", "a=b", "", "'=1"])
def test_numbers_and_words_stay_as_they_are(text):
    assert csv_cell(text) == text


def test_each_item_on_stdout_is_one_line(capsys):
    echo(["a", 1, *HOSTILE])
    shown = capsys.readouterr().out
    assert shown.splitlines() == ["a", "1", *map(printable, HOSTILE)]
    echo([])
    assert capsys.readouterr().out == ""


def test_each_message_on_stderr_is_one_line(capsys):
    for name in HOSTILE:
        progress.say(name)
    assert capsys.readouterr().err.splitlines() == [*map(printable, HOSTILE)]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_table_in_the_terminal_shows_the_name(name):
    stream = io.StringIO()
    table = Table(f"title {name}", ("class", name), [[name, ".5"]], [f"note {name}"])
    show([table], Console(file=stream, width=200, force_terminal=True, color_system=None))
    shown = re.sub("\x1b\\[[0-9;]*m", "", stream.getvalue())  # rich's own styles
    assert is_inert(shown.replace("\n", ""))
    title, head, _, row, note, *_ = (line.rstrip() for line in shown.splitlines())
    name = printable(name)
    assert (title, note) == (f"title {name}".rstrip(), f"note {name}".rstrip())
    assert head.split("class", 1)[1].strip() == name.strip()
    assert row == f"{name} ".ljust(6) + row[len(f"{name} ".ljust(6)) :]


@pytest.mark.parametrize("name", ["[male]", ":bomb:", "[/red]", "\x1b]0;title\x07"])
def test_a_bar_shows_the_name(monkeypatch, name):
    stream = io.StringIO()
    console = Console(file=stream, width=200, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "console", console)
    with progress.progress(f"reading {name}", 3) as advance:
        advance(3)
    with progress.board() as draw:
        draw([f"run {name}"])
    assert f"reading {printable(name)}" in stream.getvalue()
    assert f"run {printable(name)}" in stream.getvalue()


@pytest.mark.parametrize(
    "words", ["pre\x1b[31mdict", "predict a --\x1b[31m", "predict a --tags\x1b[31m"]
)
def test_wrong_usage_is_quoted_without_escapes(words):
    result = invoke(words.split(" "))
    assert result.exit_code == 2
    assert "\x1b[31m" not in result.output
    assert r"\x1b[31m" in result.output


def test_the_only_argument_of_a_sentence_is_one_line(tmp_path, one_sentence):
    result = invoke(["check", str(tmp_path / "no\x1b[2J\nfolder")])
    one_sentence(result, r"no\x1b[2J\nfolder")


# Printing.

PRINTERS = {"print", "pprint", "echo", "secho", "Console", "exit", "warn"}
HOMES = {
    "runtime.progress": {"Console", "console.print"},
    "cli.output": {"Console", "console.print", "typer.echo"},
    # The process may end before sedmtl's output module can be imported.
    "runtime.process": {"os.write"},
    "cli.app": {"sys.stderr.write", "sys.exit"},
    # Passes on a library's messages without its notes.
    "features.encoder.runtimes.tflite": {"os.write"},
}


def printed_by(path):
    """The printing calls of a module, except the two functions that make text inert."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            *owner, last = name.split(".")
            is_stream = owner[-1:] in (["stdout"], ["stderr"]) and last.startswith("write")
            is_printer = last in PRINTERS and name not in ("output.echo", "typer.Exit")
            if is_stream or is_printer or name == "os.write":
                yield name


def test_nothing_is_printed_past_the_functions_that_make_text_inert():
    found = {dotted(path): set(printed_by(path)) for path in FILES}
    assert {name: calls for name, calls in found.items() if calls - HOMES.get(name, set())} == {}


def test_the_last_message_of_a_process_has_no_foreign_text():
    (app,) = [path for path in FILES if dotted(path) == "cli.app"]
    words = [
        ast.unparse(node.args[0])
        for node in ast.walk(ast.parse(app.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("sys.exit", "sys.stderr.write")
    ]
    for text in words:
        assert text.startswith(("'", "printable(", "EXIT_CODE", "f'{INTERRUPTED}")), text


def test_the_csv_of_predict_holds_no_formula():
    from sedmtl.events import Detection
    from sedmtl.inference.exporters import csv_text, tsv_text
    from sedmtl.inference.prediction import Prediction

    found = Prediction(1.0, [Detection("=cmd()", 0.0, 1.0, 0.5)], filename="-a.wav")
    (_, row) = csv.reader(io.StringIO(csv_text(found), newline=""))
    assert row == ["'-a.wav", "0.000", "1.000", "'=cmd()", "0.5000"]
    assert tsv_text(found).splitlines()[1].split("\t")[3] == "=cmd()"  # as other programs know it


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(0, "verdict", "0 verdicts"), (1, "verdict", "1 verdict"), (1, "class", "1 class"),
     (2, "class", "2 classes"), (1200, "more file", "1,200 more files")],
)  # fmt: skip
def test_one_of_something_has_no_plural(number, noun, text):
    assert counted(number, noun) == text
