"""The API of a running service, as a command asks it."""

from __future__ import annotations

from types import TracebackType
from typing import Annotated, Any, Self

import typer

from lookout.service.core.errors import LookoutError
from lookout.service.core.settings import Settings

ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
LIMIT_S = 30.0

Url = Annotated[
    str | None, typer.Option(help="of the API  [default: LOOKOUT_HOST and LOOKOUT_PORT]")
]


class ApiRefusedError(LookoutError):
    """The API did not do what was asked, or is not there."""


def api_address(settings: Settings) -> str:
    """Return where the API of these settings listens."""
    host = ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://{host}:{settings.port}{settings.root_path}"


class ApiClient:
    """Asks one API, with the token of the settings. A context manager."""

    def __init__(self, settings: Settings, url: str | None = None) -> None:
        """url: of the API; None: as the settings say. Raises ApiRefusedError."""
        import httpx  # noqa: PLC0415  # no other command needs it

        self._base = f"{url or api_address(settings)}/api/v1"
        headers = {}
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        try:
            self._client = httpx.Client(base_url=self._base, headers=headers, timeout=LIMIT_S)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ApiRefusedError(f"there is no API at {self._base}: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON of an answer, None for an empty one. Raises ApiRefusedError."""
        import httpx  # noqa: PLC0415

        try:
            answer = self._client.request(method, path, json=body)
            if answer.is_success:
                return answer.json() if answer.content else None
            reason = str(answer.json()["detail"])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ApiRefusedError(f"there is no API at {self._base}: {error}") from None
        except (ValueError, KeyError, TypeError):
            raise ApiRefusedError(f"what answers at {self._base} is no Lookout") from None
        raise ApiRefusedError(reason)
