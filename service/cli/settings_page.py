"""Every setting as a page: docs/configuration.md is what `lookout settings` prints."""

from __future__ import annotations

from typing import Any

from lookout.service.core.settings import Settings

INTRODUCTION = """\
# Configuration

Every setting is an environment variable. This page is what `lookout settings` prints. A wrong value ends the command
with one line that names the variable, and exit code 2; an unknown `LOOKOUT_*` variable is passed over. `lookout serve`
hands its settings on to the stages that it starts; where each stage runs by itself, give all of them the same values.

An MB is 2^20 bytes.

| variable | type | default | limits | what |
|---|---|---|---|---|
"""
TYPES = {"integer": "whole number", "string": "text", "password": "secret"}
UNITS = {"_ms": "ms", "_s": "seconds", "_mb": "MB"}
LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}

Schema = dict[str, Any]


def page() -> str:
    """Markdown with one row a setting, in the order of the class."""
    fields = Settings.model_json_schema()["properties"]
    return INTRODUCTION + "".join(_row(name, _plain(schema)) for name, schema in fields.items())


def _plain(schema: Schema) -> Schema:
    """A setting that may be unset has the schema of its value."""
    choices: list[Schema] = schema.get("anyOf", [])
    return schema | next((choice for choice in choices if choice["type"] != "null"), {})


def _row(name: str, schema: Schema) -> str:
    cells = [
        f"`LOOKOUT_{name.upper()}`",
        _type(name, schema),
        _default(schema),
        _limits(schema),
        schema["description"],
    ]
    return f"| {' | '.join(cells)} |\n"


def _type(name: str, schema: Schema) -> str:
    word = str(schema.get("format", schema["type"]))
    units = [f", {unit}" for ending, unit in UNITS.items() if name.endswith(ending)]
    return "".join([TYPES.get(word, word), *units[:1]])


def _default(schema: Schema) -> str:
    if "default_text" in schema:
        return str(schema["default_text"])
    default = schema.get("default")
    return (
        "unset"
        if default is None
        else f"`{default:g}`"
        if isinstance(default, float)
        else f"`{default}`"
    )


def _limits(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "pattern" in schema:
        return f"`{schema['pattern']}`".replace("|", r"\|")
    return ", ".join(
        f"{word} {schema[limit]:g}" for limit, word in LIMITS.items() if limit in schema
    )
