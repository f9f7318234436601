"""Every setting, its environment variable and its help: the only reader of the environment."""

from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from image_search.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder: assets/ and the demo's cache lie in it."""


class Settings(BaseSettings):
    """What an operator may set, each as IMAGE_SEARCH_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="IMAGE_SEARCH_", frozen=True, extra="ignore")

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
    host: str = Field(
        default="127.0.0.1",
        description="The address to listen on. The default is this machine alone: nobody is "
        "asked who they are yet, so whoever reaches the address can search.",
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


@cache
def settings() -> Settings:
    """The settings of this process, read once. Raises ConfigError that names the variable."""
    try:
        return Settings()
    except ValidationError as error:
        lines = (
            f"IMAGE_SEARCH_{str(e['loc'][0]).upper()} is {e['input']!r}: {e['msg'].lower()}."
            for e in error.errors()
        )
        raise ConfigError(" ".join(lines)) from None
