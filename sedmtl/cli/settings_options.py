"""Network options of `train`, read from the source of the networks' settings.

An option is declared once, as a field of a settings class: its type, default, and the docstring
below it as help. Networks import torch, which is too slow for `--help`, so their modules are parsed
instead of imported.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

import sedmtl

NETWORKS = "sedmtl.models.registry.NETWORKS"
KINDS: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}


class SettingsOption(NamedTuple):
    """An option: a field of a settings class.

    Attributes:
        default: As text, followed by the networks that have another default.
    """

    name: str
    kind: Any
    default: str
    help: str


def network_options() -> list[SettingsOption]:
    """The options of all networks, in the order of the registry; each name once."""
    _, registry = _find(NETWORKS)
    found: dict[str, SettingsOption] = {}
    for network, path in ast.literal_eval(registry).items():
        for option in {each.name: each for each in _fields(path)}.values():
            known = found.setdefault(option.name, option)
            if option.default != known.default.partition(";")[0]:
                others = f"{known.default}; {network}: {option.default}"
                found[option.name] = known._replace(default=others)
    return list(found.values())


def takes_network_options(panel: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of networks to a command, which receives the given ones as `network`.

    Args:
        panel: Their panel in the help.
    """
    return functools.partial(_with_options, declared=network_options(), panel=panel)


def _with_options(
    command: Callable[..., None], declared: Sequence[SettingsOption], panel: str
) -> Callable[..., None]:
    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:
        given = {option.name: arguments.pop(option.name) for option in declared}
        network = {name: value for name, value in given.items() if value is not None}
        command(**arguments, network=network)

    signature = inspect.signature(command, eval_str=True)
    parameters = [
        each
        for own in signature.parameters.values()
        for each in (
            [_parameter(option, panel) for option in declared]
            if own.name == "network"
            else [own.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        )
    ]
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_options


def _parameter(option: SettingsOption, panel: str) -> inspect.Parameter:
    name = f"--{option.name.replace('_', '-')}"
    text = f"{option.help} Default: {option.default}."
    declared = typer.Option(name, help=text, rich_help_panel=panel)
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[option.kind | None, declared],
    )


def _fields(path: str) -> Iterator[SettingsOption]:
    """The fields of a settings class, inherited ones first."""
    module, found = _find(path)
    assert isinstance(found, ast.ClassDef), f"{path} is no class"
    for base in found.bases:
        if isinstance(base, ast.Name) and base.id != "ABC":
            yield from _fields(f"{module}.{base.id}")
    for field, text in zip_longest(found.body, found.body[1:]):
        if isinstance(field, ast.AnnAssign) and field.value and not _is_class_variable(field):
            assert isinstance(field.target, ast.Name)
            assert isinstance(text, ast.Expr), f"{path}.{field.target.id} has no text below it"
            default, described = ast.literal_eval(field.value), ast.literal_eval(text.value)
            kind = _kind(module, field.annotation)
            yield SettingsOption(field.target.id, kind, str(default), " ".join(described.split()))


def _is_class_variable(field: ast.AnnAssign) -> bool:
    return ast.unparse(field.annotation).startswith("ClassVar")


def _kind(module: str, annotation: ast.expr) -> Any:
    """A plain type or a `Literal`, possibly named."""
    if isinstance(annotation, ast.Name) and annotation.id in KINDS:
        return KINDS[annotation.id]
    if isinstance(annotation, ast.Name):
        return _kind(*_find(f"{module}.{annotation.id}"))
    assert isinstance(annotation, ast.Subscript), f"{module}: {ast.unparse(annotation)}"
    return Literal[ast.literal_eval(annotation.slice)]


def _find(path: str) -> tuple[str, Any]:
    """The module that defines a dotted name, and its class node or value node."""
    module, _, name = path.rpartition(".")
    source = Path(sedmtl.__file__).parents[1].joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return module, node
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return module, node.value
        if isinstance(node, ast.ImportFrom) and name in {each.name for each in node.names}:
            return _find(f"{node.module}.{name}")
    raise LookupError(f"{module} has no {name}")
