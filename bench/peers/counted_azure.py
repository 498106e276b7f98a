"""`python -m bench.peers.counted_azure PORT FOLDER`: local Azure that counts its control-plane reads.

A read is what asks Azure how a run stands: a GET of a resource, or Data Factory's query over runs.
"""

import sys
from pathlib import Path

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from anew.emulator.app import create_app
from anew.emulator.base.cloud import Cloud

READS_PATH = "/bench/reads"


class CountReads:
    """Counts the reads on their way to the application, and tells the count at READS_PATH."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._reads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the request and pass it on."""
        if scope["type"] == "http" and scope["path"] == READS_PATH:
            await JSONResponse({"reads": self._reads})(scope, receive, send)
            return
        self._reads += scope["type"] == "http" and _is_read(scope["method"], scope["path"])
        await self._app(scope, receive, send)


def _is_read(method: str, path: str) -> bool:
    return path.startswith("/subscriptions/") and (method == "GET" or path.endswith("/queryPipelineRuns"))


def main() -> None:
    """Serve until interrupted."""
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    cloud = Cloud.open(folder, f"http://127.0.0.1:{port}")
    try:
        app = CountReads(create_app(cloud, warm=False))
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    finally:
        cloud.store.close()


if __name__ == "__main__":
    main()
