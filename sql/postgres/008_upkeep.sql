-- Partitions of the ledger come before they are needed, and go when the message store has what is in them.

-- Make those of today and of the days to come.
CREATE FUNCTION make_partitions(days integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day   date;
    name  text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('chatd partitions'));
    FOR day IN SELECT today + n FROM generate_series(0, days) AS n LOOP
        name := 'ledger_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(name) IS NULL THEN
            -- Made apart and attached: unlike CREATE TABLE ... PARTITION OF, that lets appending go on.
            EXECUTE format('CREATE TABLE %I (LIKE ledger INCLUDING DEFAULTS)', name);
            EXECUTE format('ALTER TABLE ledger ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, day, day + 1);
        END IF;
    END LOOP;
END $$;

-- The processes that wrote the rows of the ledger or of a partition, and their last batches. In steps along the
-- index, however many rows there are.
CREATE FUNCTION ledger_writers(of_table regclass) RETURNS TABLE (writer ident, batch bigint)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    writer := chr(1114111);                              -- above all others
    LOOP
        EXECUTE format('SELECT writer, batch FROM %s WHERE writer < $1 ORDER BY writer DESC, batch DESC LIMIT 1',
                       of_table) INTO writer, batch USING writer;
        EXIT WHEN writer IS NULL;
        RETURN NEXT;
    END LOOP;
END $$;

-- Drop the partitions that are older than so many days and of which everything is stored; their names.
CREATE FUNCTION drop_partitions(days integer) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day   date;
    name  text;
BEGIN
    FOR name IN
        SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'ledger'::regclass ORDER BY relname
    LOOP
        day := to_date(right(name, 8), 'YYYYMMDD');
        EXIT WHEN day >= today - days;
        PERFORM 1 FROM ledger_writers(name::regclass) AS found LEFT JOIN writer USING (writer)
            WHERE found.batch > coalesce(writer.stored, 0);
        IF NOT FOUND THEN
            EXECUTE format('DROP TABLE %I', name);
            RETURN NEXT name;
        END IF;
    END LOOP;
END $$;
