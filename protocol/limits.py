"""The sizes that bound every frame. INFO tells them to clients; the codec and the
services enforce them."""

from typing import Final

import msgspec

CONTENT_BYTES: Final = 16_384
FRAME_BYTES: Final = 128 * 1024
GROUP_MEMBERS: Final = 10_000
CREATE_GROUP_MEMBERS: Final = 1_000
CLIENT_MSG_ID_CHARS: Final = 64
REF_CHARS: Final = 64
MESSAGE_ID_CHARS: Final = 110
CONVERSATION_ID_CHARS: Final = 65
GROUP_NAME_CHARS: Final = 100
INVITE_CHARS: Final = 64
HISTORY_PAGE: Final = 200
HISTORY_PAGE_DEFAULT: Final = 50
INIT_DATA_CONVERSATIONS: Final = 200
MENTIONS: Final = 50
PRESENCE_USERS: Final = 200
UNREAD_CAP: Final = 100
TTL_SECONDS: Final = 604_800
MALFORMED_IN_A_ROW: Final = 10
RESUME_POSITIONS: Final = 1_000
EMOJI_CHARS: Final = 32
REACTIONS: Final = 200
"""Of one message, of all users together."""
TOPIC_CHARS: Final = 250
AVATAR_URL_CHARS: Final = 500


class Limits(msgspec.Struct, frozen=True, rename="camel"):
    """What INFO tells a client, so that it need not guess."""

    content_bytes: int = CONTENT_BYTES
    frame_bytes: int = FRAME_BYTES
    group_members: int = GROUP_MEMBERS
    create_group_members: int = CREATE_GROUP_MEMBERS
    client_msg_id_chars: int = CLIENT_MSG_ID_CHARS
    ref_chars: int = REF_CHARS
    history_page: int = HISTORY_PAGE
    presence_users: int = PRESENCE_USERS
    mentions: int = MENTIONS
    resume_positions: int = RESUME_POSITIONS
