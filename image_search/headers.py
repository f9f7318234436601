"""What every answer carries, so that a browser keeps it where it belongs."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from image_search.settings import settings

HUB = "https://huggingface.co"
"""Shows a Space in a page of its own."""


def headers() -> dict[str, str]:
    """For every answer, as the settings are."""
    # Nothing leaves this server's address, whatever a title or a library holds. Gradio's own page
    # needs scripts and styles in the page and functions made from text.
    policy = (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        f"frame-ancestors {HUB}" if settings().on_space else "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # what was asked is nobody else's business
        "X-Robots-Tag": "noindex, nofollow",
        "Cross-Origin-Resource-Policy": "same-origin",  # no other site shows these pictures
    }


class Headers:
    """An application whose every answer carries them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._headers = headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name in [n for n in sent if n.startswith("access-control-")]:
                    del sent[name]  # Gradio lets every site read what it answers
                for name, value in self._headers.items():
                    if name not in sent:
                        sent[name] = value
            await send(message)

        await self.app(scope, receive, send_with_headers)
