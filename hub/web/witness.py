"""The door of a witness: a program of its own (`yimen witness serve`), not part of the hub (C2SP tlog-witness)."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.formats.addcheckpoint import MAX_BODY
from hub.ledger.witness import Witness


def witness_app(witness: Witness, *, now: Callable[[], int]) -> Starlette:
    """`POST /add-checkpoint`, and for monitors `GET /{sha256 of origin}/checkpoint`. `now`: seconds."""

    async def add_checkpoint(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return Response("too large\n", 413, media_type="text/plain")
        answer = await run_in_threadpool(witness.add_checkpoint, body, now=now())
        return Response(answer.body, answer.status, media_type=answer.media_type)

    async def latest(request: Request) -> Response:
        found = await run_in_threadpool(witness.latest, request.path_params["origin_hash"])
        if found is None:
            return Response("never cosigned\n", 404, media_type="text/plain")
        return Response(found, media_type="text/plain; charset=utf-8")

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/{origin_hash}/checkpoint", latest, methods=["GET"]),
        ]
    )
