-- Appending: one call for everything that waits, one commit. The rules are those of the Ledger port; the
-- embedded adapter states them in Python (stores/*_sqlite.py), and one contract test holds both.

-- Why an event is refused (code), or what it repeats, or what it brings about.
CREATE TYPE verdict AS (
    code       text,
    detail     text,
    befriended boolean,
    version    integer,
    repeats    bigint      -- the event that made the same change before
);

CREATE FUNCTION refused(code text, detail text DEFAULT '') RETURNS verdict
LANGUAGE sql IMMUTABLE AS $$ SELECT ROW(code, detail, false, NULL, NULL)::verdict $$;

CREATE FUNCTION admitted(befriended boolean DEFAULT false, version integer DEFAULT NULL) RETURNS verdict
LANGUAGE sql IMMUTABLE AS $$ SELECT ROW(NULL, '', befriended, version, NULL)::verdict $$;

CREATE FUNCTION repeats(seq bigint) RETURNS verdict
LANGUAGE sql IMMUTABLE AS $$ SELECT ROW(NULL, '', false, NULL, seq)::verdict $$;

-- Make a direct conversation that is not there yet; false when there is no account `peer`. Safe beside
-- another call that makes the same.
CREATE FUNCTION make_direct(chat ident, creator ident, peer ident, at bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM account WHERE username = peer;
    IF NOT FOUND THEN RETURN false; END IF;
    INSERT INTO conversation (conversation_id, kind, created_by, created_at, member_count)
        VALUES (chat, 'direct', creator, at, 2) ON CONFLICT DO NOTHING;
    INSERT INTO head (conversation_id, last, at) VALUES (chat, 0, at) ON CONFLICT DO NOTHING;
    INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)
        VALUES (chat, creator, 'MEMBER', 0, 0, 0), (chat, peer, 'MEMBER', 0, 0, 0) ON CONFLICT DO NOTHING;
    RETURN true;
END $$;

-- Nobody is put into a group by a user whom it has blocked.
CREATE FUNCTION may_be_added(adder ident, added ident) RETURNS verdict LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM account WHERE username = added;
    IF NOT FOUND THEN RETURN refused('NO_SUCH_USER', added); END IF;
    PERFORM 1 FROM block WHERE username = added AND blocked = adder;
    IF FOUND THEN RETURN refused('BLOCKED', added); END IF;
    RETURN admitted();
END $$;

CREATE FUNCTION needs_admin(the_group ident, who ident) RETURNS verdict LANGUAGE plpgsql AS $$
DECLARE their_role text;
BEGIN
    SELECT role INTO their_role FROM member WHERE conversation_id = the_group AND username = who;
    IF NOT FOUND THEN RETURN refused('NOT_A_MEMBER'); END IF;
    IF their_role <> 'ADMIN' THEN RETURN refused('FORBIDDEN', 'admins'); END IF;
    RETURN admitted();
END $$;

CREATE FUNCTION is_last_admin(the_group ident) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT count(*) = 1 FROM member WHERE conversation_id = the_group AND role = 'ADMIN'
$$;

-- Groups: made, joined, left, roles, names. `facts` is the body of the event.
CREATE FUNCTION change_group(the_group ident, kind smallint, who ident, facts jsonb, next bigint, at bigint)
RETURNS verdict LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c        conversation;
    v        verdict;
    named    ident := facts->>'username';
    theirs   text;
BEGIN
    SELECT * INTO c FROM conversation WHERE conversation_id = the_group;
    IF kind = 3 THEN
        FOR named IN SELECT jsonb_array_elements_text(facts->'members') LOOP
            v := may_be_added(who, named);
            IF v.code IS NOT NULL THEN RETURN v; END IF;
        END LOOP;
        INSERT INTO conversation (conversation_id, kind, name, is_open, history, created_by, created_at, member_count)
            VALUES (the_group, 'group', facts->>'name', (facts->>'open')::boolean, facts->>'history', who, at,
                    jsonb_array_length(facts->'members'));
        INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)
            SELECT the_group, m, CASE WHEN m = who THEN 'ADMIN' ELSE 'MEMBER' END, 1,
                   CASE WHEN m = who THEN 1 ELSE 0 END, CASE WHEN m = who THEN 1 ELSE 0 END
            FROM jsonb_array_elements_text(facts->'members') AS m;
        RETURN admitted();
    ELSIF c.kind IS DISTINCT FROM 'group' THEN
        RETURN refused('NOT_A_MEMBER');
    ELSIF kind = 4 THEN
        IF named = who THEN
            PERFORM 1 FROM member WHERE conversation_id = the_group AND username = named;
            IF FOUND THEN RETURN refused('ALREADY_A_MEMBER', named); END IF;
            IF NOT c.is_open THEN RETURN refused('NOT_A_MEMBER'); END IF;
        ELSE
            v := needs_admin(the_group, who);
            IF v.code IS NULL THEN v := may_be_added(who, named); END IF;
            IF v.code IS NOT NULL THEN RETURN v; END IF;
            PERFORM 1 FROM member WHERE conversation_id = the_group AND username = named;
            IF FOUND THEN RETURN refused('ALREADY_A_MEMBER', named); END IF;
        END IF;
        IF c.member_count >= (facts->>'limit')::integer THEN RETURN refused('GROUP_FULL'); END IF;
        -- Who comes into a group that everybody has left becomes its admin: it must have one. One who is added
        -- by somebody else has not been told yet.
        INSERT INTO member (conversation_id, username, role, joined_seq, delivered, read)
            VALUES (the_group, named, CASE WHEN c.member_count = 0 THEN 'ADMIN' ELSE 'MEMBER' END, next,
                    CASE WHEN named = who THEN next ELSE next - 1 END,
                    CASE WHEN named = who THEN next ELSE next - 1 END);
        UPDATE conversation SET member_count = member_count + 1 WHERE conversation_id = the_group;
        RETURN admitted();
    ELSIF kind = 5 THEN
        IF named <> who THEN
            v := needs_admin(the_group, who);
            IF v.code IS NOT NULL THEN RETURN v; END IF;
        END IF;
        SELECT role INTO theirs FROM member WHERE conversation_id = the_group AND username = named;
        IF NOT FOUND THEN
            RETURN refused('NOT_A_MEMBER', CASE WHEN named = who THEN '' ELSE named END);
        END IF;
        IF theirs = 'ADMIN' AND c.member_count > 1 AND is_last_admin(the_group) THEN
            RETURN refused('LAST_ADMIN');
        END IF;
        DELETE FROM member WHERE conversation_id = the_group AND username = named;
        UPDATE conversation SET member_count = member_count - 1 WHERE conversation_id = the_group;
        RETURN admitted();
    END IF;
    v := needs_admin(the_group, who);
    IF v.code IS NOT NULL THEN RETURN v; END IF;
    IF kind = 9 THEN
        SELECT role INTO theirs FROM member WHERE conversation_id = the_group AND username = named;
        IF NOT FOUND THEN RETURN refused('NOT_A_MEMBER', named); END IF;
        IF theirs = facts->>'role' THEN RETURN repeats(next - 1); END IF;
        IF theirs = 'ADMIN' AND is_last_admin(the_group) THEN RETURN refused('LAST_ADMIN'); END IF;
        UPDATE member SET role = facts->>'role' WHERE conversation_id = the_group AND username = named;
    ELSE
        UPDATE conversation SET name = coalesce(facts->>'name', name),
            topic = nullif(coalesce(facts->>'topic', topic), ''),
            avatar_url = nullif(coalesce(facts->>'avatarUrl', avatar_url), '')
            WHERE conversation_id = the_group;
    END IF;
    RETURN admitted();
END $$;
