"""What a client makes of the events that it is sent, as the protocol says that it may."""

from typing import Any

import msgspec

from protocol.model import HistoryMessage

Shown = dict[str, dict[str, Any]]
"""The messages of a conversation by id, each as a history shows it."""


def shown(messages: list[HistoryMessage]) -> Shown:
    """A fetched history."""
    return {message.id: msgspec.to_builtins(message) for message in messages}


def apply(state: Shown, frame: dict[str, Any], username: str) -> None:
    """Change the state of the user's client by an event, which may be about a message
    that it does not have."""
    match frame["type"]:
        case "ONE_TO_ONE_CHAT" | "GROUP_CHAT":
            message = {name: value for name, value in frame.items() if name != "type"}
            message.pop("offline", None)
            state[frame["id"]] = message | {"version": 1}
        case "GROUP_MEMBER_LEFT" if frame["username"] == username:
            state.clear()
        case "MESSAGE_EDITED" | "MESSAGE_DELETED" | "REACTION" if frame["id"] in state:
            _change(state[frame["id"]], frame)


def _change(message: dict[str, Any], frame: dict[str, Any]) -> None:
    match frame["type"]:
        case "MESSAGE_EDITED":
            message |= {
                "content": frame["content"],
                "version": frame["version"],
                "editedAt": frame["at"],
                "editedBy": frame["from"],
            }
            if frame["from"] == message["from"]:
                del message["editedBy"]
        case "MESSAGE_DELETED":
            message |= {"content": "", "deleted": True}
            message.pop("reactions", None)
            message.pop("mentions", None)
        case "REACTION":
            reactions = message.setdefault("reactions", {})
            users = reactions.setdefault(frame["emoji"], [])
            if frame.get("remove"):
                users.remove(frame["from"])
            else:
                users.append(frame["from"])
            if not users:
                del reactions[frame["emoji"]]
            if not reactions:
                del message["reactions"]
