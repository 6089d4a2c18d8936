"""Generate the table of a camera's fields in docs/api.md from `CameraSpec`."""

from __future__ import annotations

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from lookout.service.core.camera import CameraSpec

HEAD = "| field | default | meaning |\n|---|---|---|\n"
BEGIN = "<!-- camera fields, made by `make generate` -->\n"
END = "<!-- end of camera fields -->\n"


def page(text: str) -> str:
    """Return the page `text` with a fresh table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows = (
        f"| `{name}` | {default(field)} | {field.description} |\n"
        for name, field in CameraSpec.model_fields.items()
    )
    return f"{before}{BEGIN}{HEAD}{''.join(rows)}{END}{after}"


def default(field: FieldInfo) -> str:
    """Return the field's default as the table shows it; empty for one that has none to show."""
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, str):
        return f"`{field.default}`"
    return ""
