"""Every setting as a page: docs/configuration.md is what `lookout settings` prints."""

from __future__ import annotations

from typing import Any

from lookout.service.core.settings import Settings

INTRODUCTION = """\
# Configuration

Every setting is an environment variable. This page is what `lookout settings` prints. A wrong value
ends the command with one line that names the variable, and exit code 2. An unknown `LOOKOUT_*`
variable is told in one line, with the setting that was meant, and has no effect. `lookout serve`
hands its settings on to the stages that it starts; where each stage runs by itself, give all of
them the same values.

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
    """Return the page in Markdown: a row a setting, in the order of the class."""
    fields = Settings.model_json_schema()["properties"]
    return INTRODUCTION + "".join(row(name, schema) for name, schema in fields.items())


def row(name: str, schema: Schema) -> str:
    """Return the row of one setting; one that may be unset has the schema of its value."""
    choices: list[Schema] = schema.get("anyOf", [])
    schema = schema | next((choice for choice in choices if choice["type"] != "null"), {})
    word = str(schema.get("format", schema["type"]))
    units = [f", {unit}" for ending, unit in UNITS.items() if name.endswith(ending)]
    cells = [
        f"`LOOKOUT_{name.upper()}`",
        "".join([TYPES.get(word, word), *units[:1]]),
        default_cell(schema),
        limits_cell(schema),
        schema["description"],
    ]
    return f"| {' | '.join(cells)} |\n"


def default_cell(schema: Schema) -> str:
    """Return the default of a setting as Markdown."""
    if "default_text" in schema:
        return str(schema["default_text"])
    default = schema.get("default")
    if default is None:
        return "unset"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`"


def limits_cell(schema: Schema) -> str:
    """Return the values that a setting may have, as Markdown."""
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "pattern" in schema:
        return f"`{schema['pattern']}`".replace("|", r"\|")
    return ", ".join(
        f"{word} {schema[limit]:g}" for limit, word in LIMITS.items() if limit in schema
    )
