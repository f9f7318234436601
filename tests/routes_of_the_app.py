"""Prints every path that the application knows, out of its own routing table, as JSON.

A program of its own: Gradio leaves event loops behind when its page is made.
"""

import json
from typing import Any

from starlette.routing import Mount

import image_search
from image_search.server import create_app
from image_search.state import State


def walk(routes: Any, before: str = "") -> list[str]:
    found = []
    for route in routes:
        if isinstance(route, Mount):
            found += [before + route.path, *walk(route.routes, before + route.path)]
        elif hasattr(route, "original_router"):  # as FastAPI keeps what was included
            found += walk(route.original_router.routes, before)
        else:
            found.append(before + route.path)
    return found


if __name__ == "__main__":
    app: Any = create_app(image_search.open(), State.open())
    page = app.app.app.app  # within the headers, the gate and the shell
    print(json.dumps(walk(page.routes)))
