"""YAML 1.2 text: the same words mean the same as to the runtime.

Owns which plain words are null, booleans and numbers: the parser is PyYAML's, which by itself reads `no` as false.
"""

from __future__ import annotations

import functools
import re
from typing import Any

__all__ = ["read", "write"]

_PLAIN = {
    "null": (r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    "int": (r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", list("-+0123456789")),
    "float": (
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
        list("-+0123456789."),
    ),
    "merge": (r"(?:<<)", ["<"]),
}
"""The core schema of YAML 1.2, chapter 10.3.2: what a plain scalar is, and the characters it may begin with."""


def read(text: str) -> Any:
    """Returns the data of one YAML document."""
    return _yaml().load(text, _loader())


def write(data: Any) -> str:
    """Returns data as YAML, in blocks, its keys in order."""
    return _yaml().dump(data, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=120)


def _yaml() -> Any:
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ImportError(
            "YAML needs the module 'yaml': install the SDK with its extra `yaml`, as in "
            "python -m pip install './sdk/python[yaml]'; JSON needs nothing",
            name=error.name,
        ) from error
    return yaml


@functools.cache
def _loader() -> Any:
    loader = _with_core_schema(_yaml().SafeLoader)
    loader.add_constructor("tag:yaml.org,2002:int", _construct_integer)
    return loader


@functools.cache
def _dumper() -> Any:
    dumper = _with_core_schema(_yaml().SafeDumper)
    # What stands in two places is written twice: an alias would only puzzle whoever reads the flow.
    dumper.ignore_aliases = _always
    dumper.add_representer(str, _represent_text)
    return dumper


def _with_core_schema(base: Any) -> Any:
    class Core(base):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's way to configure a class

    for name, (pattern, first) in _PLAIN.items():
        Core.add_implicit_resolver(f"tag:yaml.org,2002:{name}", re.compile(rf"{pattern}\Z"), first)
    return Core


def _always(*_: Any) -> bool:
    return True


def _represent_text(dumper: Any, text: str) -> Any:
    # Line breaks to PyYAML, which follows YAML 1.1, and to nobody else.
    style = '"' if any(it in text for it in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _construct_integer(loader: Any, node: Any) -> int:
    text: str = loader.construct_scalar(node)
    base = {"0o": 8, "0x": 16}.get(text[:2])
    return int(text) if base is None else int(text[2:], base)
