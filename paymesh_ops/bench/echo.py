"""A raw unary echo over gRPC: what a hop costs when nothing is done.

`python -m paymesh_ops.bench.echo` prints its port, then serves until it is ended.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import uvloop

METHOD = "/paymesh_ops.bench.Echo/Echo"


async def _echo(request: bytes, context: Any) -> bytes:
    return request


async def serve() -> None:
    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(_echo)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("paymesh_ops.bench.Echo", {"Echo": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
