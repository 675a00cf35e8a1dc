"""The page over HTTP: its files, its pictures, and its JSON interface.

GET  /                                         the page; also /page.css and /page.js
GET  /api/about                                facts and samples
POST /api/pictures                             a file; returns its name: {"picture": "upload-0"}
GET  /api/pictures/NAME                        a picture, as PNG
GET  /api/search?picture=NAME&k=8              the nearest, and the label
GET  /api/explain?picture=NAME&other=NAME      why the two are similar
GET  /api/locate?picture=NAME&scene=NAME       where the one is in the other
GET  /api/classes?picture=NAME&top=5           of a classifier: its best classes, and where they are

An error is {"error": "what is wrong. Expected: ... Received: ..."}.
"""

import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from keras_metric.serve import Refusal, body_of
from zoo.demo.classes import ClassDesk
from zoo.demo.desk import Desk
from zoo.demo.guard import Guard
from zoo.demo.picture import MOST_BYTES, MOST_PIXELS

PAGE = Path(__file__).parent / "page"
FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
MOST_NEIGHBOURS, MOST_BOXES, MOST_CLASSES = 50, 50, 20


def application(desk: Desk | ClassDesk, *, name: str) -> Starlette:
    """The web application of a desk; `name` is the name of the model on the page."""

    def about(request: Request) -> Response:
        limits = {"bytes": MOST_BYTES, "pixels": MOST_PIXELS}
        return _json({"model": name, "kind": desk.kind, "limits": limits, **desk.about()})

    async def send(request: Request) -> Response:
        content = await body_of(request, MOST_BYTES)
        return _json(await run_in_threadpool(desk.take, content))

    def picture(request: Request) -> Response:
        return Response(desk.png(request.path_params["name"]), media_type="image/png")

    def search(request: Request) -> Response:
        return _json(
            desk.search(_word(request, "picture"), _count(request, "k", 8, MOST_NEIGHBOURS))
        )

    def explain(request: Request) -> Response:
        return _json(desk.explain(_word(request, "picture"), _word(request, "other")))

    def locate(request: Request) -> Response:
        top = _count(request, "top", 5, MOST_BOXES)
        return _json(desk.locate(_word(request, "picture"), _word(request, "scene"), top))

    def classes(request: Request) -> Response:
        top = _count(request, "top", 5, MOST_CLASSES)
        return _json(desk.classes(_word(request, "picture"), top))

    routes = [Route(path, _file(PAGE / file)) for path, file in FILES.items()]
    routes += [
        Route("/api/about", about),
        Route("/api/pictures", send, methods=["POST"]),
        Route("/api/pictures/{name}", picture),
    ]
    if desk.kind == "classifier":
        routes += [Route("/api/classes", classes)]
    else:
        questions = {"search": search, "explain": explain, "locate": locate}
        routes += [Route(f"/api/{word}", answer) for word, answer in questions.items()]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard)],
        exception_handlers={Refusal: refused, Exception: _broken},
    )


def refused(request: Request, refusal: Exception) -> Response:
    """The response to a refused request."""
    return _json({"error": str(refusal)}, status=getattr(refusal, "http", 500))


def _broken(request: Request, error: Exception) -> Response:
    return _json({"error": f"The answer failed: {type(error).__name__}: {error}"}, status=500)


def _file(path: Path):
    def answer(request: Request) -> Response:
        return FileResponse(path)

    return answer


def _json(value: Any, *, status: int = 200) -> Response:
    return Response(json.dumps(value, allow_nan=False), status, media_type="application/json")


def _word(request: Request, name: str) -> str:
    if name not in request.query_params:
        raise Refusal(
            "INVALID_ARGUMENT",
            f"A picture is missing. Expected: ?{name}=NAME. Received: "
            f"{', '.join(request.query_params) or 'nothing'}.",
        )
    return request.query_params[name]


def _count(request: Request, name: str, usual: int, most: int) -> int:
    given = request.query_params.get(name, str(usual))
    if not (given.isascii() and given.isdecimal() and len(given) < 9 and 1 <= int(given) <= most):
        raise Refusal(
            "INVALID_ARGUMENT",
            f"{name!r} is no number that can be answered. Expected: 1 to {most}. "
            f"Received: {given[:80]!r}.",
        )
    return int(given)
