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
        IF (facts->>'seen')::bigint <> coalesce(st.version, 1) THEN
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

-- Check, number and store events; a row for each, in their order. They come in the order of their conversations,
-- by bytes, so that two calls never wait for each other; entries of one conversation are numbered as they come.
-- Each head is locked before anything of its conversation is looked at, by later statements: one statement would
-- look with a snapshot from before the lock. For an event that was there already, `nonce` and `at` are its own.
CREATE FUNCTION append(
    of_writer text, of_batch bigint, c text[], k smallint[], s text[], tos text[], keys text[], macs bytea[],
    nonces bigint[], bodies bytea[], ats bigint[], facts jsonb[]
) RETURNS TABLE (
    code text, detail text, seq bigint, nonce bigint, at bigint, befriended boolean, version integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    today   date := (now() AT TIME ZONE 'UTC')::date;
    cur     text := NULL;
    l       bigint;
    l0      bigint;
    last_at bigint;
    written boolean;
    joined  bigint;
    mac     bytea;
    v       verdict;
BEGIN
    FOR x IN 1 .. cardinality(c) LOOP
        IF cur IS DISTINCT FROM c[x] THEN
            IF l > l0 THEN UPDATE head SET last = l, at = last_at WHERE conversation_id = cur; END IF;
            cur := c[x];
            SELECT last INTO l FROM head WHERE conversation_id = cur FOR UPDATE;
            l0 := l;
        END IF;
        befriended := false;
        IF k[x] <= 2 THEN
            IF k[x] = 1 THEN
                PERFORM 1 FROM block WHERE (username = s[x] AND blocked = tos[x])
                                        OR (username = tos[x] AND blocked = s[x]);
                IF FOUND THEN
                    code := 'BLOCKED'; detail := tos[x];
                    RETURN NEXT;
                    CONTINUE;
                END IF;
                IF l IS NULL THEN
                    IF NOT make_direct(cur, s[x], tos[x], ats[x]) THEN
                        code := 'NO_SUCH_USER'; detail := tos[x];
                        RETURN NEXT;
                        CONTINUE;
                    END IF;
                    SELECT last INTO l FROM head WHERE conversation_id = cur FOR UPDATE;
                    l0 := l;
                END IF;
            END IF;
            -- Nobody joins a direct conversation: that is how its members are told from those of a group.
            SELECT has_written, joined_seq INTO written, joined FROM member
                WHERE conversation_id = cur AND username = s[x];
            IF l IS NULL OR joined IS NULL OR (joined = 0) <> (k[x] = 1) THEN
                code := 'NOT_A_MEMBER'; detail := NULL;
                RETURN NEXT;
                CONTINUE;
            END IF;
            nonce := NULL; at := NULL;
            IF keys[x] IS NOT NULL THEN
                -- Who waited for the lock over midnight may meet a row of tomorrow.
                SELECT o.seq, o.nonce, o.at, o.mac INTO seq, nonce, at, mac FROM ledger AS o
                    WHERE o.conversation_id = cur AND o.sender = s[x] AND o.key = keys[x]
                      AND o.day BETWEEN today - 1 AND today + 1 LIMIT 1;
                IF FOUND THEN
                    code := CASE WHEN mac = macs[x] THEN NULL ELSE 'CLIENT_MSG_ID_REUSED' END;
                    detail := NULL; version := NULL;
                    RETURN NEXT;
                    CONTINUE;
                END IF;
            END IF;
            IF k[x] = 1 AND NOT written THEN
                UPDATE member SET has_written = true WHERE conversation_id = cur AND username = s[x];
                PERFORM 1 FROM member WHERE conversation_id = cur AND username = tos[x] AND has_written;
                IF FOUND THEN
                    INSERT INTO friendship (username, friend, since)
                        VALUES (s[x], tos[x], ats[x]), (tos[x], s[x], ats[x]) ON CONFLICT DO NOTHING;
                    befriended := FOUND;
                END IF;
            END IF;
            l := l + 1;
            INSERT INTO ledger (day, kind, seq, nonce, at, batch, conversation_id, sender, writer, key, mac, body)
                VALUES (today, k[x], l, nonces[x], ats[x], of_batch, cur, s[x], of_writer, keys[x], macs[x],
                        bodies[x]);
            code := NULL; seq := l; version := NULL;
        ELSE
            nonce := NULL; at := NULL; version := NULL;
            IF k[x] = 3 THEN
                IF l IS NOT NULL THEN v := refused('UNAVAILABLE');
                ELSE
                    v := change_group(cur, k[x], s[x], facts[x], 1, ats[x]);
                    IF v.code IS NULL THEN
                        INSERT INTO head (conversation_id, last, at) VALUES (cur, 0, ats[x]);
                        l := 0; l0 := 0;
                    END IF;
                END IF;
            ELSIF l IS NULL THEN v := refused('NOT_A_MEMBER');
            ELSIF k[x] IN (6, 7, 8) THEN v := change_message(cur, k[x], s[x], facts[x], l + 1);
            ELSE v := change_group(cur, k[x], s[x], facts[x], l + 1, ats[x]);
            END IF;
            code := v.code; detail := v.detail;
            IF code IS NOT NULL THEN
                RETURN NEXT;
                CONTINUE;
            END IF;
            IF v.repeats IS NOT NULL THEN
                seq := v.repeats; nonce := nonces[x]; at := 0;
                RETURN NEXT;
                CONTINUE;
            END IF;
            l := l + 1;
            INSERT INTO ledger (day, kind, seq, nonce, at, batch, conversation_id, sender, writer, key, mac, body,
                                target, version, emoji, is_removal)
                VALUES (today, k[x], l, nonces[x], ats[x], of_batch, cur, s[x], of_writer, keys[x], macs[x],
                        bodies[x], (facts[x]->>'seq')::bigint, v.version, facts[x]->>'emoji',
                        (facts[x]->>'remove')::boolean);
            seq := l; version := v.version;
        END IF;
        last_at := ats[x];
        RETURN NEXT;
    END LOOP;
    IF l > l0 THEN UPDATE head SET last = l, at = last_at WHERE conversation_id = cur; END IF;
END $$;
