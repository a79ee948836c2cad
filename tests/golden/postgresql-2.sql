CREATE TABLE {schema}.store (
            id uuid PRIMARY KEY,
            epoch integer NOT NULL,
            version integer NOT NULL,
            head bigint NOT NULL
        );
CREATE TABLE {schema}.event_names (
            key integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            name text COLLATE "C" NOT NULL UNIQUE
        );
CREATE TABLE {schema}.aggregates (
            key bigint PRIMARY KEY,
            name text COLLATE "C" NOT NULL,
            id text COLLATE "C" NOT NULL,
            version bigint NOT NULL,
            first_time bigint NOT NULL,
            last_time bigint NOT NULL,
            UNIQUE (name, id)
        );
CREATE TABLE {schema}.events (
            position bigint PRIMARY KEY,
            id uuid NOT NULL UNIQUE,
            name_key integer NOT NULL,
            aggregate_key bigint,
            version bigint NOT NULL,
            time bigint NOT NULL,
            encoding text NOT NULL,
            schema bigint NOT NULL,
            data text,
            binary_data bytea,
            metadata text,
            tags text,
            CHECK (data IS NOT NULL OR binary_data IS NOT NULL)
        );
CREATE UNIQUE INDEX events_of_aggregate ON {schema}.events (aggregate_key, version) WHERE aggregate_key IS NOT NULL;
CREATE INDEX events_by_name ON {schema}.events (name_key, position);
CREATE TABLE {schema}.event_tags (
            tag text COLLATE "C" NOT NULL,
            position bigint NOT NULL,
            PRIMARY KEY (tag, position)
        );
CREATE TABLE {schema}.snapshots (
            name text COLLATE "C" NOT NULL,
            id text COLLATE "C" NOT NULL,
            version bigint NOT NULL,
            time bigint NOT NULL,
            schema bigint NOT NULL,
            encoding text NOT NULL,
            state text,
            binary_state bytea,
            deleted boolean NOT NULL,
            PRIMARY KEY (name, id, version)
        );
CREATE TABLE {schema}.models (
            collection text COLLATE "C" NOT NULL,
            id text COLLATE "C" NOT NULL,
            version bigint NOT NULL,
            data text NOT NULL,
            plain text,
            PRIMARY KEY (collection, id)
        );
CREATE TABLE {schema}.checkpoints (
            name text COLLATE "C" PRIMARY KEY,
            position bigint NOT NULL,
            store text NOT NULL,
            time bigint NOT NULL
        );
CREATE TABLE {schema}.leases (
            name text COLLATE "C" PRIMARY KEY,
            owner text COLLATE "C" NOT NULL,
            token bigint NOT NULL,
            expires bigint NOT NULL
        );
CREATE TABLE {schema}.commits (
            id uuid PRIMARY KEY,
            number bigint NOT NULL,
            time bigint NOT NULL
        );
CREATE VIEW {schema}.event_log AS
            SELECT e.position, to_timestamp(e.time / 1000000) + (e.time % 1000000) * interval '1 microsecond' AS time, n.name AS event, a.name AS aggregate,
                   a.id AS aggregate_id, e.version, e.data, e.binary_data, e.metadata, e.tags, e.encoding, e.schema, e.id
            FROM {schema}.events e JOIN {schema}.event_names n ON n.key = e.name_key
            LEFT JOIN {schema}.aggregates a ON a.key = e.aggregate_key
            ORDER BY e.position;
CREATE VIEW {schema}.aggregate_list AS
            SELECT name, id, version, to_timestamp(first_time / 1000000) + (first_time % 1000000) * interval '1 microsecond' AS first_time, to_timestamp(last_time / 1000000) + (last_time % 1000000) * interval '1 microsecond' AS last_time
            FROM {schema}.aggregates ORDER BY name, id;
CREATE FUNCTION {schema}.append_events(
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
{quote};
CREATE FUNCTION {schema}.note_commit(mark uuid, mark_number bigint) RETURNS text LANGUAGE plpgsql AS {quote}
-- The last statement of a transaction: leaves a mark, if anything was written, and answers the transaction's number then.
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        INSERT INTO {schema}.commits AS c (id, number, time)
            VALUES (mark, mark_number, (extract(epoch FROM now()) * 1000000)::bigint)
            ON CONFLICT (id) DO UPDATE SET number = excluded.number, time = excluded.time;
    END IF;
    RETURN pg_current_xact_id_if_assigned()::text;
END
{quote};
ALTER FUNCTION {schema}.append_events SET jit = off
