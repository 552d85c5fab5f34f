-- The rest of appending: changes of messages, then the one function that is called.

-- Edits, deletes and reactions. `facts`: seq and nonce of the message, its author and kind when the ledger
-- does not have it any more, isDirect, emoji, remove, seen (the version that was seen), limit.
CREATE FUNCTION change_message(chat ident, kind smallint, who ident, facts jsonb, next bigint) RETURNS verdict
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    place    bigint := (facts->>'seq')::bigint;
    floor    bigint;
    m        record;
    t        record;
    st       message_state;
    there    bigint;
    peer     ident;
BEGIN
    SELECT role, joined_seq, c.kind AS kind, c.history AS history INTO m
        FROM member JOIN conversation AS c USING (conversation_id)
        WHERE conversation_id = chat AND username = who;
    IF NOT FOUND OR (m.kind = 'direct') <> (facts->>'isDirect')::boolean THEN
        RETURN refused('NOT_A_MEMBER');
    END IF;
    IF m.kind = 'direct' AND kind <> 7 THEN
        SELECT username INTO peer FROM member WHERE conversation_id = chat AND username <> who;
        IF peer IS NOT NULL AND is_blocked(who, peer) THEN RETURN refused('BLOCKED', peer); END IF;
    END IF;
    SELECT nonce, sender INTO t FROM ledger WHERE conversation_id = chat AND seq = place AND ledger.kind IN (1, 2);
    IF NOT FOUND THEN
        IF facts->>'author' IS NULL THEN RETURN refused('NO_SUCH_MESSAGE'); END IF;
        SELECT (facts->>'nonce')::bigint AS nonce, (facts->>'author')::ident AS sender INTO t;
    END IF;
    floor := CASE WHEN m.history = 'all' THEN 0 ELSE greatest(m.joined_seq - 1, 0) END;
    IF t.nonce <> (facts->>'nonce')::bigint OR place <= floor THEN
        RETURN refused('NO_SUCH_MESSAGE');
    END IF;
    SELECT * INTO st FROM message_state WHERE conversation_id = chat AND seq = place;
    IF kind <> 7 AND st.deleted_seq IS NOT NULL THEN RETURN refused('NO_SUCH_MESSAGE'); END IF;
    IF kind IN (6, 7) AND who <> t.sender AND m.role <> 'ADMIN' THEN
        RETURN refused('FORBIDDEN', 'its author and admins');
    END IF;
    IF kind = 6 THEN
        IF (facts->>'seen')::integer <> coalesce(st.version, 1) THEN
            RETURN refused('VERSION_CONFLICT', coalesce(st.version, 1)::text);
        END IF;
        INSERT INTO message_state AS s (conversation_id, seq, version, edited_seq)
            VALUES (chat, place, coalesce(st.version, 1) + 1, next)
            ON CONFLICT (conversation_id, seq) DO UPDATE
            SET version = excluded.version, edited_seq = excluded.edited_seq;
        RETURN admitted(false, coalesce(st.version, 1) + 1);
    ELSIF kind = 7 THEN
        IF st.deleted_seq IS NOT NULL THEN RETURN repeats(st.deleted_seq); END IF;
        INSERT INTO message_state AS s (conversation_id, seq, deleted_seq) VALUES (chat, place, next)
            ON CONFLICT (conversation_id, seq) DO UPDATE SET deleted_seq = excluded.deleted_seq;
        DELETE FROM reaction WHERE conversation_id = chat AND reaction.target = place;
        RETURN admitted();
    END IF;
    SELECT seq INTO there FROM reaction
        WHERE conversation_id = chat AND reaction.target = place
          AND username = who AND emoji = facts->>'emoji';
    IF (facts->>'remove')::boolean THEN
        IF there IS NULL THEN RETURN repeats(place); END IF;
        DELETE FROM reaction WHERE conversation_id = chat AND reaction.target = place
            AND username = who AND emoji = facts->>'emoji';
        RETURN admitted();
    END IF;
    IF there IS NOT NULL THEN RETURN repeats(there); END IF;
    IF (SELECT count(*) FROM reaction WHERE conversation_id = chat
            AND reaction.target = place) >= (facts->>'limit')::integer THEN
        RETURN refused('TOO_LARGE', format('a message has at most %s reactions', facts->>'limit'));
    END IF;
    INSERT INTO reaction (conversation_id, target, username, emoji, seq)
        VALUES (chat, place, who, facts->>'emoji', next);
    RETURN admitted();
END $$;

-- Check, number and store events; one row for each, in any order, `n` is its place in the arrays. Conversations
-- are taken in order, each head locked before anything of it is looked at; entries of one conversation are
-- numbered in the order of the arrays.
CREATE FUNCTION append(
    of_writer text, c text[], k smallint[], s text[], keys text[], macs bytea[], nonces bigint[], bodies bytea[],
    ats bigint[], facts jsonb[]
) RETURNS TABLE (
    n integer, code text, detail text, seq bigint, nonce bigint, at bigint, duplicate boolean,
    befriended boolean, version integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    today   date := (now() AT TIME ZONE 'UTC')::date;
    cur     ident := NULL;
    l       bigint;
    l0      bigint;
    last_at bigint;
    m       record;
    x       integer;
    v       verdict;
    q       record;
    peer    ident;
    their   text;
BEGIN
    FOR x IN SELECT o FROM unnest(c) WITH ORDINALITY AS u(cc, o) ORDER BY cc COLLATE "C", o LOOP
        IF cur IS DISTINCT FROM c[x] THEN
            IF l > l0 THEN UPDATE head SET last = l, at = last_at WHERE conversation_id = cur; END IF;
            cur := c[x];
            l := NULL;
            SELECT last INTO l FROM head WHERE conversation_id = cur FOR UPDATE;
            l0 := l;
        END IF;
        n := x; code := NULL; detail := ''; duplicate := false; befriended := false; version := NULL;
        seq := 0; nonce := 0; at := 0;
        v := NULL;
        IF k[x] = 1 THEN
            peer := facts[x]->>'to';
            IF l IS NULL THEN
                IF is_blocked(s[x], peer) THEN v := refused('BLOCKED', peer);
                ELSIF NOT make_direct(cur, s[x], peer, ats[x]) THEN v := refused('NO_SUCH_USER', peer);
                ELSE
                    SELECT last INTO l FROM head WHERE conversation_id = cur FOR UPDATE;
                    l0 := l;
                END IF;
            ELSIF is_blocked(s[x], peer) THEN v := refused('BLOCKED', peer);
            END IF;
        ELSIF k[x] = 3 THEN
            IF l IS NOT NULL THEN v := refused('UNAVAILABLE');
            ELSE
                v := change_group(cur, k[x], s[x], facts[x], 1, ats[x]);
                IF v.code IS NULL THEN
                    INSERT INTO head (conversation_id, last, at) VALUES (cur, 0, ats[x]);
                    l := 0; l0 := 0;
                END IF;
            END IF;
        ELSIF l IS NULL THEN v := refused('NOT_A_MEMBER');
        END IF;
        IF v.code IS NULL AND k[x] <= 2 THEN
            SELECT has_written, conversation.kind INTO m FROM member JOIN conversation USING (conversation_id)
                WHERE conversation_id = cur AND username = s[x];
            IF NOT FOUND OR (m.kind = 'direct') <> (k[x] = 1) THEN v := refused('NOT_A_MEMBER');
            ELSIF keys[x] IS NOT NULL THEN
                SELECT o.seq, o.nonce, o.at, o.mac INTO q FROM ledger AS o
                    WHERE o.conversation_id = cur AND o.sender = s[x] AND o.key = keys[x]
                      AND o.day >= today - 2 LIMIT 1;
                IF FOUND THEN
                    IF q.mac = macs[x] THEN
                        seq := q.seq; nonce := q.nonce; at := q.at; duplicate := true;
                    ELSE code := 'CLIENT_MSG_ID_REUSED';
                    END IF;
                    RETURN NEXT;
                    CONTINUE;
                END IF;
            END IF;
            IF v.code IS NULL AND k[x] = 1 AND NOT m.has_written THEN
                UPDATE member SET has_written = true WHERE conversation_id = cur AND username = s[x];
                PERFORM 1 FROM member WHERE conversation_id = cur AND username = peer AND has_written;
                IF FOUND THEN
                    INSERT INTO friendship (username, friend, since)
                        VALUES (s[x], peer, ats[x]), (peer, s[x], ats[x]) ON CONFLICT DO NOTHING;
                    befriended := FOUND;
                END IF;
            END IF;
        ELSIF v.code IS NULL AND k[x] IN (6, 7, 8) THEN
            v := change_message(cur, k[x], s[x], facts[x], l + 1);
        ELSIF v.code IS NULL AND k[x] <> 3 THEN
            v := change_group(cur, k[x], s[x], facts[x], l + 1, ats[x]);
        END IF;
        IF v.code IS NOT NULL THEN
            code := v.code; detail := v.detail;
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF v.repeats IS NOT NULL THEN
            seq := v.repeats; nonce := nonces[x]; duplicate := true;
            RETURN NEXT;
            CONTINUE;
        END IF;
        l := l + 1;
        version := v.version;
        INSERT INTO ledger (day, conversation_id, seq, nonce, sender, key, kind, body, mac, at, target, version, writer)
            VALUES (today, cur, l, nonces[x], s[x], keys[x], k[x], bodies[x], macs[x], ats[x],
                    (facts[x]->>'seq')::bigint, version, of_writer);
        last_at := ats[x];
        seq := l; nonce := nonces[x]; at := ats[x];
        RETURN NEXT;
    END LOOP;
    IF l > l0 THEN UPDATE head SET last = l, at = last_at WHERE conversation_id = cur; END IF;
END $$;
