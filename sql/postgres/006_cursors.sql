-- Cursors move forward, many in one call. Rows are taken in order, so that two calls never wait for each other.
CREATE FUNCTION advance(c text[], u text[], is_read boolean[], s bigint[], expected text[])
RETURNS TABLE (
    n integer, code text, head bigint, kind text, came_from bigint, peer text, member_count integer
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    m record;
    x integer;
BEGIN
    FOR x IN SELECT o FROM unnest(c, u) WITH ORDINALITY AS a(cc, uu, o)
             ORDER BY cc COLLATE "C", uu COLLATE "C", o LOOP
        n := x; code := NULL; head := NULL; kind := NULL; came_from := NULL; peer := NULL; member_count := NULL;
        SELECT mb.delivered, mb.read, h.last, cv.kind AS its_kind, cv.member_count AS members INTO m
            FROM member AS mb JOIN conversation AS cv USING (conversation_id)
            JOIN head AS h USING (conversation_id)
            WHERE mb.conversation_id = c[x] AND mb.username = u[x] FOR NO KEY UPDATE OF mb;
        IF NOT FOUND OR m.its_kind <> expected[x] THEN
            code := 'NOT_A_MEMBER';
        ELSIF s[x] > m.last THEN
            code := 'INVALID_FIELD'; head := m.last; kind := m.its_kind;
        ELSE
            head := m.last; kind := m.its_kind;
            IF s[x] > (CASE WHEN is_read[x] THEN m.read ELSE m.delivered END) THEN
                came_from := CASE WHEN is_read[x] THEN m.read ELSE m.delivered END;
                member_count := m.members;
                UPDATE member SET delivered = greatest(delivered, s[x]),
                    read = CASE WHEN is_read[x] THEN s[x] ELSE read END
                    WHERE conversation_id = c[x] AND username = u[x];
                IF kind = 'direct' THEN
                    SELECT username INTO peer FROM member WHERE conversation_id = c[x] AND username <> u[x];
                    IF is_blocked(u[x], peer) THEN peer := NULL; END IF;
                END IF;
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
