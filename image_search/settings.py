"""Every setting, its environment variable and its help: the only reader of the environment."""

import os
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from image_search.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder: assets/ and the demo's cache lie in it."""


HERE = ("127.0.0.1", "::1", "localhost")
"""What this machine calls itself."""

PREFIX = "IMAGE_SEARCH_"

Mode = Literal["open", "password", "huggingface"]
"""Who is let in: everybody, the users of a list, accounts of the Hub."""


def _of_the_space(name: str) -> Any:
    """A variable of the Hub's world, also under the name that it has there."""
    return AliasChoices(f"{PREFIX}{name}", name)


class Settings(BaseSettings):
    """What an operator may set, each as IMAGE_SEARCH_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    space_id: str = Field(
        default="",
        validation_alias=_of_the_space("SPACE_ID"),
        description="Set by a Space of the Hub itself: its name. Then the page listens to all, "
        "believes the Space's proxy, and may be shown within the Hub's own page.",
    )
    space_host: str = Field(
        default="",
        validation_alias=_of_the_space("SPACE_HOST"),
        description="Set by a Space itself: the name of its own address.",
    )

    artifact: str | None = Field(
        default=None,
        description="The built collection to serve: a folder, or `user/name@revision` of the "
        "Hugging Face Hub (with `HF_TOKEN` or `hf auth login`). Unset: the demo.",
    )
    model: str | None = Field(
        default=None,
        description="Only for a dataset made by hand (pictures and a column `embeddings`): the "
        "model that made these, such as `clip-ViT-B-32`; needs requirements-build.txt.",
    )
    policy: Path | None = Field(
        default=None,
        description="The policy of what may be asked: a file such as `assets/policy.toml`, which "
        "is the one that counts where this is unset.",
    )
    engine: str = Field(
        default="",
        description="The database that searches: `chdb://FOLDER` on this machine, or "
        "`clickhouse://USER:PASSWORD@HOST:PORT/DATABASE` (several hosts with commas between, and "
        "`?cluster=NAME`). It holds what `engine load` put there. Unset: FAISS, in memory.",
    )
    server: str = Field(
        default="",
        description="For `search`, `facets`, `record` and `cite`: the address of an image search "
        "to ask in the place of a collection here, such as `https://search.example.org`.",
    )
    token: SecretStr | None = Field(
        default=None,
        description="The token that such a server knows you by; whoever runs it makes one.",
    )
    like: float = Field(
        default=0.75,
        gt=0,
        le=10,
        description="How far liked pictures draw a question towards them: the β of Rocchio's rule.",
    )
    unlike: float = Field(
        default=0.15,
        ge=0,
        le=10,
        description="How far disliked pictures push a question away: the γ of Rocchio's rule.",
    )
    access: Mode | None = Field(
        default=None,
        description="Who is let in: `password` (the users of a list), `huggingface` (accounts "
        "and organisations of the Hub), `open` (everybody). Unset: `open` on this machine alone; "
        "anywhere else the program does not start until one is chosen.",
    )
    users: str = Field(
        default="",
        description="For `password`: `name:hash`, or `name:hash:role`, one user a line (or with "
        "spaces between). `python -m image_search password NAME` makes such a line.",
    )
    users_file: Path | None = Field(
        default=None,
        description="For `password`: a file of such lines; what is changed in it counts at once.",
    )
    allow_users: str = Field(
        default="",
        description="For `huggingface`: accounts that are let in, with commas between; "
        "`name:curator` gives a role other than member.",
    )
    allow_orgs: str = Field(
        default="",
        description="For `huggingface`: organisations whose members are let in.",
    )
    bar: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="What a test has to reach to be passed: the share of right pictures among the "
        "first ten, in each class of the taxonomy; among fewer, where fewer are known to be of it.",
    )
    bar_judged: int = Field(
        default=20,
        ge=1,
        description="How many pictures of each class have to be judged for a test to be passed.",
    )
    open_untested: bool = Field(
        default=False,
        description="`yes`: with `open`, let everybody in although the collection has passed no "
        "test in its domain. The page says that whoever runs it decided so.",
    )
    contact: str = Field(
        default="",
        description="Whom to ask to be let in; stands on the sign-in page. Unset: the contact of "
        "the collection.",
    )
    session_hours: int = Field(
        default=8,
        ge=1,
        le=24 * 30,
        description="Hours after which one has to sign in again. For so long counts which "
        "organisations somebody was in.",
    )
    url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s]+/?)?$",
        description="The address that visitors use, such as `https://search.example.org`, where "
        "a proxy stands before the program. Unset: what the browser says; on a Space, its own.",
    )
    secret: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="What sessions are signed with, 32 characters or more. Another one ends all "
        "sessions. Unset: made by chance and kept with the state.",
    )
    state: str = Field(
        default=str(ROOT / ".state"),
        description="Where is kept what people add (withdrawn pictures, who is let in, the "
        "record of searches): a folder (one within this one as `./data/state`), or `user/name`, a "
        "private dataset of the Hub.",
    )
    log_days: int = Field(
        default=90,
        ge=0,
        le=3650,
        description="Days for which searches are kept on record; 0: none is recorded.",
    )
    requests_per_minute: int = Field(
        default=300,
        ge=1,
        description="How much one member, or a visitor who has not signed in, may ask in a minute; "
        "the members at one address together ten times as much. A picture or file of the page "
        "counts a twentieth. Not counted where `open` is for this machine alone.",
    )
    openid_provider_url: str = Field(
        default="https://huggingface.co",
        validation_alias=_of_the_space("OPENID_PROVIDER_URL"),
        description="For `huggingface`: where people sign in. Set by a Space itself, as are the "
        "next three; elsewhere make an OAuth app at https://huggingface.co/settings/applications.",
    )
    oauth_client_id: str = Field(
        default="",
        validation_alias=_of_the_space("OAUTH_CLIENT_ID"),
        description="For `huggingface`: the OAuth app's client id.",
    )
    oauth_client_secret: SecretStr | None = Field(
        default=None,
        validation_alias=_of_the_space("OAUTH_CLIENT_SECRET"),
        description="For `huggingface`: the OAuth app's secret.",
    )
    oauth_scopes: str = Field(
        default="openid profile",
        validation_alias=_of_the_space("OAUTH_SCOPES"),
        description="For `huggingface`: what is asked of the Hub about who signs in.",
    )
    space_token: SecretStr | None = Field(
        default=None,
        validation_alias=_of_the_space("SPACE_TOKEN"),
        description="For `deploy`: a token of the Hub made for the Space, which it gets instead of "
        "your own.",
    )
    host: str = Field(
        default_factory=lambda known: "0.0.0.0" if known["space_id"] else "127.0.0.1",
        description="The address to listen on. Unset: this machine alone; on a Space, all.",
    )
    port: int = Field(
        default=7860, ge=0, le=65535, description="The port to listen on; 0 picks a free one."
    )
    cache: Path = Field(
        default=ROOT / ".cache",
        description="Where the demo is kept once it is built; may be deleted.",
    )
    results: int = Field(
        default=60,
        ge=1,
        le=200,
        description="How many pictures an answer holds; the page fetches more on scrolling. "
        "1 to 200.",
    )
    max_upload_mb: int = Field(
        default=20,
        ge=1,
        le=200,
        description="The largest picture file that may be searched with, in MB.",
    )
    max_pixels: int = Field(
        default=50_000_000,
        ge=1_000_000,
        description="The largest picture that may be searched with, in pixels (width times "
        "height). Some kinds take 30 bytes of memory a pixel while they are decoded.",
    )

    @property
    def public_address(self) -> str:
        """The address that visitors use, as far as it is known beforehand: no slash at the end."""
        host = self.space_host.split(",")[0].strip()
        return self.url.rstrip("/") or (f"https://{host}" if host else "")

    @property
    def on_space(self) -> bool:
        """Whether this runs as a Space of the Hub."""
        return bool(self.space_id)

    @property
    def on_loopback(self) -> bool:
        """Whether this machine alone can reach the page, as far as the settings tell."""
        here = self.host in HERE and urlsplit(self.url).hostname in (None, *HERE)
        return here and not self.on_space


@cache
def settings() -> Settings:
    """The settings of this process, read once. Raises ConfigError that names the variable."""
    try:
        return Settings()
    except ValidationError as error:
        lines = (
            f"{_variable(str(e['loc'][0]))}{_shown(e)}: {_reason(e)}."
            for e in error.errors()
            if e["type"] != "default_factory_not_called"
        )
        raise ConfigError(" ".join(lines)) from None


def unknown_variables() -> list[str]:
    """Variables that look like settings and are none: a slip of the pen is not noticed else."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def _reason(error: Any) -> str:
    if error["loc"][0] == "secret":
        return "it needs 32 characters or more; `openssl rand -hex 32` makes one"
    return str(error["msg"]).lower()


def _variable(place: str) -> str:
    """The environment variable of a field, or of an alias, which is one already."""
    return f"{PREFIX}{place.upper()}" if place in Settings.model_fields else place


def _shown(error: Any) -> str:
    """What was given, unless nobody but the operator may know it."""
    secret = any(word in str(error["loc"][0]).lower() for word in ("secret", "users", "token"))
    return "" if secret else f" is {error['input']!r}"
