"""The AsyncAPI 3 document of `/live`, beside the OpenAPI one: made of the models that are sent."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

from fastapi import APIRouter
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lookout.service.api.auth.token import COOKIE
from lookout.service.api.live.changes import LiveBody

PATH = "/asyncapi.json"
CHANNEL = "live"

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def schema() -> dict[str, Any]:
    """Return the document; it is made once."""
    return document()


@cache
def document() -> dict[str, Any]:
    """Return the AsyncAPI document: one channel, one operation, a message for each body."""
    bodies: tuple[type[BaseModel], ...] = get_args(LiveBody)
    _, schemas = models_json_schema(
        [(body, "serialization") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    names = {body.model_fields["type"].default: body for body in bodies}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lookout",
            "version": "1",
            "description": "What happens to cameras, as it happens; without history. Beside "
            "openapi.json.",
        },
        "defaultContentType": "application/json",
        "channels": {
            CHANNEL: {
                "address": "/api/v1/live",
                "description": "A WebSocket. What a client sends is ignored. It is closed with "
                "1008 where a camera is not there or the login ends, and with 1013 where the "
                "client is too slow or the database is away.",
                "messages": {
                    name: {"$ref": f"#/components/messages/{body.__name__}"}
                    for name, body in names.items()
                },
                "bindings": {"ws": {"method": "GET", "query": query_schema()}},
            }
        },
        "operations": {
            "sendLive": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{CHANNEL}"},
                "summary": "Send what happens to the cameras that a client listens to.",
                "messages": [{"$ref": f"#/channels/{CHANNEL}/messages/{name}"} for name in names],
                "security": [
                    {"$ref": "#/components/securitySchemes/token"},
                    {"$ref": "#/components/securitySchemes/login"},
                ],
            }
        },
        "components": {
            "messages": {
                body.__name__: {
                    "name": name,
                    "summary": body.__doc__,
                    "payload": {"$ref": f"#/components/schemas/{body.__name__}"},
                }
                for name, body in names.items()
            },
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "login": {"type": "httpApiKey", "name": COOKIE, "in": "cookie"},
            },
        },
    }


def query_schema() -> dict[str, Any]:
    """Return the schema of the query: `camera`, as often as there are cameras to listen to."""
    return {
        "type": "object",
        "properties": {
            "camera": {
                "type": "array",
                "items": {"type": "string"},
                "description": "ids of cameras; without any, all, those added later too",
            }
        },
    }
