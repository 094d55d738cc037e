"""Settings: every one has a YIMEN_ environment variable, a line in yimen.yaml, and a row in docs/operations.md."""

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

DEMO_PASSPHRASE = "demo-only-not-a-secret"
"""Seals the keys of a demonstration, so that it starts without questions. A production hub refuses it."""

LEAST_PASSPHRASE = 12


def config_files() -> list[Path]:
    """Where settings are read from, the weakest first; files that do not exist are no error."""
    return [Path.home() / ".config/yimen/config.yaml", Path("yimen.yaml")]


class Settings(BaseSettings):
    """What a hub is started with. Precedence: argument, environment, ./yimen.yaml, ~/.config/yimen/config.yaml.

    Raises pydantic's ValidationError naming the setting, never its value, when something cannot be.
    """

    model_config = SettingsConfigDict(
        env_prefix="YIMEN_", extra="forbid", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    production: bool = Field(
        False,
        description="Real people use this hub: demo identities and demo secrets are refused, HTTPS is demanded.",
    )
    public_url: str = Field(
        "http://127.0.0.1:8000",
        description="Where people and departments reach the hub: scheme and host, no path. Issuer of its tokens.",
    )
    brand_name: str = Field("一门 Yimen", description="The name that pages show.", max_length=40)
    data_dir: Path = Field(
        Path("data"), description="Folder for keys, and for the database and files when those are local."
    )
    database_url: str = Field(
        "",
        repr=False,
        description="sqlite:///FILE or postgresql://USER@HOST/DATABASE. Empty: hub.db in the data folder. With "
        "standbys: postgresql://USER@HOST1:PORT,HOST2:PORT/DATABASE?target_session_attrs=read-write.",
    )
    database_pool: int = Field(16, ge=2, le=200, description="Connections that one process keeps at most.")
    keys_dir: Path | None = Field(
        None, description="Folder of the hub's own keys. Empty: keys in the data folder."
    )
    key_passphrase: SecretStr | None = Field(
        None, description="Opens the hub's own keys. A file is better: see the next one."
    )
    key_passphrase_file: Path | None = Field(
        None, description="File whose first line is the passphrase of the keys."
    )
    s3_endpoint: str = Field(
        "", description="HOST:PORT of an S3 server. Empty: files are kept in the data folder."
    )
    s3_bucket: str = Field("yimen", description="Bucket for faces and ledger tiles.")
    s3_region: str = Field("us-east-1", description="Region that the S3 server expects in signatures.")
    s3_access_key: str = Field("", description="Access key of the S3 server.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="Secret key of the S3 server.")
    s3_secure: bool = Field(True, description="Speak TLS with the S3 server.")
    backup_dir: Path | None = Field(
        None, description="Folder for backups, on another disk than the data. Needed by yimen backup."
    )
    backup_database_url: str = Field(
        "",
        repr=False,
        description="The same PostgreSQL as a role that may replicate. Empty: the database URL's own role.",
    )
    ledger_origin: str = Field(
        "", description="Name of the ledger in its checkpoints. Empty: host of the public URL, then /ledger."
    )
    witnesses: tuple[str, ...] = Field(
        (), description='JSON list of witnesses, each "verifier-key URL"; they cosign every checkpoint.'
    )
    witness_quorum: int = Field(
        0, ge=0, le=16, description="Cosignatures that a published checkpoint should carry."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    processes: int = Field(
        1, ge=1, le=64, description="Processes that serve this address together (PostgreSQL only); best one a core."
    )
    batch_workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Processes that check signatures and open certificates for batches. 0: one for each core.",
    )
    batches_at_once: int = Field(
        4, ge=1, le=64, description="Batches that one process takes at once; more are answered 429."
    )
    drain_seconds: float = Field(
        0.0,
        ge=0,
        le=300,
        description="After SIGTERM, how long to answer on while /readyz says no. Behind a proxy: longer than it takes"
        " the proxy to notice.",
    )
    shutdown_seconds: int = Field(
        20, ge=1, le=300, description="How long requests in flight may take once the process has stopped listening."
    )
    metrics_host: str = Field("127.0.0.1", description="Address at which Prometheus reads the metrics; not public.")
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port of the metrics, one for each process. 0: none are kept."
    )
    trusted_proxies: str = Field(
        "127.0.0.1",
        description="Addresses of proxies whose X-Forwarded-For is believed, separated by commas.",
    )
    notice_files_dir: Path | None = Field(
        None,
        description="Folder into which mails and text messages go as files where no server for them is named: for"
        " demonstrations and trials.",
    )
    smtp_host: str = Field("", description="Mail server that takes notices to citizens. Empty: no mail is sent.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port: 587 for starttls, 465 for tls.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="starttls, tls or none; none only for a mail server on this machine."
    )
    smtp_user: str = Field("", description="Login at the mail server. Empty: it asks for none.")
    smtp_password_file: Path | None = Field(None, description="File whose first line is the password of that login.")
    smtp_from: str = Field("", description="Sender of the mails, for example yimen@example.gov.cn.")
    sms_gateway_file: Path | None = Field(
        None, description="YAML file that describes the HTTP gateway for text messages. Empty: none are sent."
    )
    webhook_networks: tuple[str, ...] = Field(
        (),
        description="JSON list of networks (CIDR) that webhooks may call although they are not public, for example"
        ' ["10.20.0.0/16"].',
    )
    outgoing_ca_file: Path | None = Field(
        None, description="Authorities (PEM) that mail, text gateway and webhooks trust beside the system's."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the YAML files; no .env, no secrets folder."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=config_files())

    @field_validator("public_url")
    @classmethod
    def _plain_origin(cls, value: str) -> str:
        parts = urlsplit(value.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or "*" in value:
            raise ValueError("must be https://HOST or https://HOST:PORT")
        if parts.path or parts.query or parts.fragment:
            raise ValueError("must have no path, query or fragment")
        return value.rstrip("/").lower()

    @field_validator("webhook_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            ip_network(one)
        return value

    @field_validator("database_url")
    @classmethod
    def _several_hosts(cls, value: str) -> str:
        """Several hosts, as PostgreSQL's own programs take them, go into the query, where every driver reads them."""
        parts = urlsplit(value)
        login, at, hosts = parts.netloc.rpartition("@")
        if "," not in hosts:
            return value
        found = [re.fullmatch(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?", one) for one in hosts.split(",")]
        if not all(found):
            raise ValueError("must name its hosts as HOST1:PORT,HOST2:PORT")
        places = [one.groups(default="5432") for one in found if one]
        names = ",".join(host.strip("[]") for host, _ in places)
        listed = f"host={names}&port={','.join(port for _, port in places)}"
        query = f"{listed}&{parts.query}" if parts.query else listed
        return f"{parts.scheme}://{login}{at}{parts.path}?{query}"

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("database_url"):
            folder = Path(values.get("data_dir") or "data")
            values = {**values, "database_url": f"sqlite:///{folder / 'hub.db'}"}
        return values

    @model_validator(mode="after")
    def _mail_has_a_sender(self) -> Self:
        if self.smtp_host and "@" not in self.smtp_from:
            raise ValueError("smtp_from: a mail server is named, so a sender is needed")
        return self

    @model_validator(mode="after")
    def _fit_for_production(self) -> Self:
        """1. HTTPS, and a name that others can reach. 2. A passphrase of one's own. 3. Real secrets for the stores.
        4. No mail in the clear."""
        if not self.production:
            if urlsplit(self.public_url).scheme != "https" and not _cannot_be_public(self.public_url):
                raise ValueError(
                    "public_url: plain http only for names that cannot be public (127.0.0.1, *.test)"
                )
            return self
        if urlsplit(self.public_url).scheme != "https" or _cannot_be_public(self.public_url):  # 1
            raise ValueError("public_url: a production hub needs https, and a name that others can reach")
        phrase = self.passphrase()
        if phrase == DEMO_PASSPHRASE or len(phrase) < LEAST_PASSPHRASE:  # 2
            raise ValueError(
                f"key_passphrase: a production hub needs its own, at least {LEAST_PASSPHRASE} characters"
            )
        if self.smtp_host and self.smtp_security == "none" and not _cannot_be_public(f"smtp://{self.smtp_host}"):  # 4
            raise ValueError("smtp_security: mail to another machine goes by starttls or tls in production")
        if self.s3_endpoint and len(self.s3_secret_key.get_secret_value()) < LEAST_PASSPHRASE:  # 3
            raise ValueError(f"s3_secret_key: at least {LEAST_PASSPHRASE} characters in production")
        return self

    @property
    def keyring_dir(self) -> Path:
        """Where the hub's own keys are."""
        return self.keys_dir or self.data_dir / "keys"

    @property
    def blobs_dir(self) -> Path:
        """Where big files are when there is no S3."""
        return self.data_dir / "blobs"

    @property
    def origin(self) -> str:
        """The ledger's name in its checkpoints (C2SP tlog-checkpoint)."""
        return self.ledger_origin or f"{urlsplit(self.public_url).netloc}/ledger"

    def passphrase(self) -> str:
        """What opens the hub's own keys; the demo's when none is set, "" in production then.

        Raises ValueError when the passphrase file cannot be read.
        """
        if self.key_passphrase_file is not None:
            try:
                return self.key_passphrase_file.read_text(encoding="utf-8").splitlines()[0].strip()
            except (OSError, UnicodeError, IndexError) as error:
                raise ValueError("key_passphrase_file: cannot be read, or is empty") from error
        if self.key_passphrase is not None:
            return self.key_passphrase.get_secret_value()
        return "" if self.production else DEMO_PASSPHRASE


def settings_table() -> str:
    """The table of all settings for docs/operations.md, in Markdown; a test keeps the two together."""
    lines = ["| setting | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        shown = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        default = "" if shown in (None, "", ()) else f"`{shown}`"
        lines.append(f"| `YIMEN_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def _cannot_be_public(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".test"))
