"""Functions in the database: all that an append needs in one round trip to the server, and the last word of other writes.

`append_events` called alone is a transaction of its own: it takes the lock of the log, looks whether everything is as
whoever appends expects it, stores the events and is committed, with one message there and one back. If anything is not as
expected it stores nothing and answers NULL; then somebody has to look closer, see `_writer`. Called with the lock in hand it
does the same without the first step.

Each of its statements looks anew (a function that is VOLATILE does so at READ COMMITTED), so behind the lock it sees what
the last owner of the lock has committed. At any other level it would not, so there it answers NULL.

Each session plans it once, which would else be done for each call and take as long as the rest. So plans must not depend on
the size of tables: without `enable_seqscan` an index is taken of small ones, too, and OFFSET 0 has it asked once for each
aggregate, instead of joining all of them.
"""

APPEND_EVENTS = """CREATE FUNCTION {schema}.append_events(
    log_lock bigint, lock_wait text, commit_mode text,
    ref_names text[], ref_ids text[], ref_expected bigint[], ref_versions bigint[], ref_begins bigint[],
    ref_first_times bigint[], ref_last_times bigint[],
    tag_names text[], tag_events bigint[],
    event_ids text[], event_names integer[], event_refs integer[], event_versions bigint[], event_times bigint[],
    event_encodings text[], event_schemas bigint[], event_texts text[], event_bytes bytea[], event_metadata text[],
    event_tag_lists text[]
) RETURNS bigint LANGUAGE plpgsql
    SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS {quote}
-- Stores events behind the log and answers the position before the first of them, or NULL if something is not as expected.
DECLARE
    uuids uuid[] := event_ids;
    ref_keys bigint[];
    before bigint;
    unexpected boolean;
    said text;
BEGIN
    IF log_lock IS NOT NULL THEN
        said := set_config('lock_timeout', lock_wait, true);
        IF commit_mode IS NOT NULL THEN
            said := set_config('synchronous_commit', commit_mode, true);
        END IF;
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RETURN NULL;
        END IF;
        PERFORM pg_advisory_xact_lock(log_lock);
    END IF;

    SELECT greatest(s.head, (SELECT coalesce(max(e.position), 0) FROM {schema}.events e)),
           EXISTS (SELECT FROM {schema}.events e WHERE e.id = ANY (uuids))
        INTO STRICT before, unexpected FROM {schema}.store s;
    IF unexpected THEN
        RETURN NULL;
    END IF;
    -- The key of a new aggregate is the position of its first event: a number that no other one has ever had.
    SELECT array_agg(coalesce(a.key, before + w.begins) ORDER BY w.n), bool_or(coalesce(a.version, 0) <> w.expected)
        INTO ref_keys, unexpected
        FROM unnest(ref_names, ref_ids, ref_expected, ref_begins) WITH ORDINALITY AS w (name, id, expected, begins, n)
        LEFT JOIN LATERAL (SELECT key, version FROM {schema}.aggregates WHERE name = w.name AND id = w.id OFFSET 0) a ON true;
    IF unexpected THEN
        RETURN NULL;
    END IF;

    INSERT INTO {schema}.aggregates AS a (key, name, id, version, first_time, last_time)
        SELECT * FROM unnest(ref_keys, ref_names, ref_ids, ref_versions, ref_first_times, ref_last_times)
        ON CONFLICT (key) DO UPDATE SET version = excluded.version, last_time = excluded.last_time;
    IF cardinality(tag_names) > 0 THEN
        INSERT INTO {schema}.event_tags (tag, position)
            SELECT w.tag, before + w.event FROM unnest(tag_names, tag_events) AS w (tag, event);
    END IF;
    INSERT INTO {schema}.events (position, id, name_key, aggregate_key, version, time, encoding, schema, data, binary_data,
                                 metadata, tags)
        SELECT before + w.n, w.id, w.name, ref_keys[w.ref], w.version, w.time, w.encoding, w.schema, w.text, w.bytes,
               w.metadata, w.tags
        FROM unnest(uuids, event_names, event_refs, event_versions, event_times, event_encodings, event_schemas,
                    event_texts, event_bytes, event_metadata, event_tag_lists) WITH ORDINALITY
            AS w (id, name, ref, version, time, encoding, schema, text, bytes, metadata, tags, n);
    RETURN before;
END
{quote}"""
"""Of a schema; `quote` begins and ends its body, and is no part of the schema's name.

Its parameters are of each aggregate, of each tag, of each event; the numbers of events and aggregates begin at 1.
"""

NOTE_COMMIT = """CREATE FUNCTION {schema}.note_commit(mark uuid, mark_number bigint) RETURNS text LANGUAGE plpgsql AS {quote}
-- The last statement of a transaction: leaves a mark, if anything was written, and answers the transaction's number then.
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        INSERT INTO {schema}.commits AS c (id, number, time)
            VALUES (mark, mark_number, (extract(epoch FROM now()) * 1000000)::bigint)
            ON CONFLICT (id) DO UPDATE SET number = excluded.number, time = excluded.time;
    END IF;
    RETURN pg_current_xact_id_if_assigned()::text;
END
{quote}"""
"""What tells afterwards whether the transaction was committed, see `_ends`."""
