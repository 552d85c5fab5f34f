"""Whom the caller has blocked: `/api/blocks`."""

from typing import Any

import msgspec
from litestar import Request, Response, Router, delete, get, post

from chatd.api.context import ApiContext
from chatd.api.principal import principal_of


class BlockBody(msgspec.Struct, frozen=True):
    username: str


class BlockList(msgspec.Struct, frozen=True):
    blocks: list[BlockBody]


@get("/")
async def list_blocks(request: Request[Any, Any, Any], context: ApiContext) -> BlockList:
    """Whom the caller has blocked, by name; at most 1,000."""
    names = await context.blocks.blocked(principal_of(request))
    return BlockList([BlockBody(name) for name in names])


@post("/", status_code=201)
async def block(
    request: Request[Any, Any, Any], context: ApiContext, data: BlockBody
) -> Response[BlockBody]:
    """Block a user: neither can write to the other nor sees its presence. 200 when it was so."""
    is_new = await context.blocks.block(principal_of(request), data.username)
    return Response(data, status_code=201 if is_new else 200)


@delete("/{username:str}", status_code=204)
async def unblock(request: Request[Any, Any, Any], context: ApiContext, username: str) -> None:
    """Take a block back; nothing happens when there was none."""
    await context.blocks.unblock(principal_of(request), username)


def router() -> Router:
    return Router("/api/blocks", route_handlers=[list_blocks, block, unblock], tags=["blocks"])
