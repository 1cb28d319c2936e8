"""The least that FastAPI can do with a POST: read a JSON body and answer; what the gateway's rate is compared with.

python benchmarks/echo.py PORT
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.post("/events", status_code=202)
async def post_event(body: dict[str, Any]) -> dict[str, Any]:
    """Answer with the body."""
    return body


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False)
