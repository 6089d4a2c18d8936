"""A bucket of S3, or of a server that speaks as S3 does (MinIO, Ceph, Garage).

Credentials are found as the AWS command line finds them (`AWS_ACCESS_KEY_ID`, a shared credentials
file, the role of the machine or pod): none is a setting of Lookout.
"""

from __future__ import annotations

import base64
import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import Any

from lookout.service.core.errors import RefusedDeliveryError
from lookout.service.core.settings import Settings

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
DEFAULT_REGION = "us-east-1"
"""Servers other than AWS have no regions, but requests are signed for one."""

TYPES = {".jpg": "image/jpeg", ".mp4": "video/mp4"}

OUTAGES = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Statuses below 500 that are about the bucket or the moment, not about one file."""


class S3Bucket:
    """Writes files under names, each with its SHA-256. A client of its own; one thread at a time.

    Raises ImportError where the extra `s3` is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415

        self.name = str(settings.evidence_bucket)
        self._prefix = settings.evidence_prefix
        style = "path" if settings.evidence_s3_url else "auto"  # few servers have a name a bucket
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": 1},  # the caller waits, and says so
            max_pool_connections=1,
            s3={"addressing_style": style},
        )
        session = boto3.Session()
        region = session.region_name or DEFAULT_REGION
        self._client: Any = session.client(
            "s3", endpoint_url=settings.evidence_s3_url, region_name=region, config=config
        )

    def put(self, path: Path, name: str) -> str:
        """Write a file under the bucket's prefix and `name`, and return its SHA-256 in hex.

        The server refuses what does not fit the hash, and keeps the hash. The same name is written
        over. Raises FileNotFoundError where the file is gone, RefusedDeliveryError where the server
        will not take this file, ConnectionError where it takes none now; neither shows a secret.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        with path.open("rb") as file:  # what replaces it meanwhile is another file
            digest = hashlib.file_digest(file, "sha256")
            file.seek(0)
            try:
                self._client.put_object(
                    Bucket=self.name,
                    Key=f"{self._prefix}{name}",
                    Body=file,
                    ContentType=TYPES.get(path.suffix, "application/octet-stream"),
                    ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                    Metadata={"sha256": digest.hexdigest()},
                )
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
                reason = f"{error.response.get('Error', {}).get('Code', 'error')} ({status})"
                if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in OUTAGES:
                    raise RefusedDeliveryError(reason) from None
                raise ConnectionError(reason) from None
            except BotoCoreError as error:
                raise ConnectionError(str(error)) from None
        return digest.hexdigest()
