"""Functions in the database: an append in one round trip, and the last statement of other writes.

`append_events` called on its own is a transaction: it takes the lock of the log, verifies the caller's expectations, stores
the events and commits, in one round trip. If an expectation fails it stores nothing and returns NULL; then `_writer` looks
closer. Called with the lock held, it does the same without the first step.

Each of its statements takes a new snapshot (as in any VOLATILE function at READ COMMITTED), so after taking the lock it
sees what the last owner committed. At any other isolation level it would not, so there it returns NULL.

Each session plans the function once; planning each call would take as long as the rest. So plans must not depend on the
size of tables: without `enable_seqscan` small tables use an index, too, and OFFSET 0 makes it one lookup per aggregate
instead of a join of all.
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
"""`quote` delimits the body and must not occur in the name of the schema.

The parameters are per aggregate, per tag and per event; events and aggregates are numbered from 1.
"""

WITHOUT_JIT = "ALTER FUNCTION {schema}.append_events SET jit = off"
"""Without `enable_seqscan` the planner adds a penalty to scans that it cannot avoid, far above `jit_above_cost`: where the
server has JIT, each call would compile for fifty times as long as it runs."""

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
"""The mark shows afterwards whether the transaction was committed, see `_ends`."""
