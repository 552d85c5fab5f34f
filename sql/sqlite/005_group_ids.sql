-- Groups are few beside direct conversations, and are listed when a name filter is built.

CREATE INDEX conversation_group ON conversation (conversation_id) WHERE kind = 'group';
