"""Where the caller is logged in, and its password: `/api/devices`, `/api/users/me/password`."""

from typing import Any

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.exceptions import NotFoundException

from chatd.api.auth import Session, session
from chatd.api.context import ApiContext
from chatd.api.principal import principal_of


class DeviceInfo(msgspec.Struct, frozen=True, rename="camel"):
    """One log-in; times in milliseconds since the epoch."""

    device_id: str
    name: str | None
    created_at: int
    current: bool
    """It is the one that asks."""


class DeviceList(msgspec.Struct, frozen=True):
    devices: list[DeviceInfo]


class PasswordBody(msgspec.Struct, frozen=True, rename="camel"):
    current_password: str
    new_password: str


@get("/")
async def list_devices(request: Request[Any, Any, Any], context: ApiContext) -> DeviceList:
    """The caller's devices that are logged in, newest first."""
    principal = principal_of(request)
    return DeviceList(
        [
            DeviceInfo(
                device.device_id,
                device.name,
                device.created_at,
                device.device_id == principal.device_id,
            )
            for device in await context.accounts.devices(principal)
        ]
    )


@delete("/{device_id:str}", status_code=204)
async def log_out_device(
    request: Request[Any, Any, Any], context: ApiContext, device_id: str
) -> None:
    """Log a device out: its token ends and its connections are closed."""
    if not await context.accounts.log_out_device(principal_of(request), device_id):
        raise NotFoundException("you have no such device; GET /api/devices lists them")


@post("/password", status_code=200)
async def change_password(
    request: Request[Any, Any, Any], context: ApiContext, data: PasswordBody
) -> Session:
    """Set the password. Every other device is logged out; the answer has this one's new token."""
    return session(
        await context.accounts.change_password(
            principal_of(request), data.current_password, data.new_password
        )
    )


def routers() -> list[Router]:
    return [
        Router("/api/devices", route_handlers=[list_devices, log_out_device], tags=["devices"]),
        Router("/api/users/me", route_handlers=[change_password], tags=["users"]),
    ]
