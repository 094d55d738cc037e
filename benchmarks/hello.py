"""The FastAPI hello: a JSON POST with a pydantic model in and out, served as the hub is. It knows no database."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

BODY = b'{"name":"\xe7\x8e\x8b\xe5\xb0\x8f\xe6\x98\x8e","purpose":"points-enrolment","types":["degree","property"]}'
ANSWER = '"greeting":"您好，王小明"'.encode()

app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)


class Visitor(BaseModel):
    """Who comes, and what for."""

    name: str
    purpose: str
    types: list[str]


class Welcome(BaseModel):
    """What they are told."""

    greeting: str
    purpose: str
    types: int


@app.post("/hello", response_model=Welcome)
async def hello(visitor: Visitor) -> Welcome:
    """Say hello."""
    return Welcome(greeting=f"您好，{visitor.name}", purpose=visitor.purpose, types=len(visitor.types))


if __name__ == "__main__":
    uvicorn.run(  # as hub/cli/serve.py runs the hub
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="info",
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1",
        server_header=False,
        date_header=True,
    )
