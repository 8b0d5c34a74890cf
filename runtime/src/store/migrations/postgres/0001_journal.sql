-- Streams are named by 17 bytes: the kind's code (1 agent, 2 task), then the UUID; the last two of
-- them are the slot, which modulo the number of shards is the shard.
-- Moments are microseconds since 1970, UTC. The views at the end read all of it as text.
-- Texts that are looked up or sorted compare by their bytes.

-- What the database says of itself; db_incarnation is raised when it was restored or failed over,
-- epoch is the last that was handed out, store tells it from every other.
CREATE TABLE meta (
    key   text COLLATE "C" PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO meta (key, value) VALUES ('db_incarnation', 1), ('epoch', 0), ('probe', 0),
    ('store', ('x' || substr(md5(gen_random_uuid()::text), 1, 15))::bit(60)::bigint);

-- One row a start of a process.
CREATE TABLE node (
    node    bytea PRIMARY KEY,
    name    text NOT NULL,
    epoch   bigint NOT NULL UNIQUE,
    started bigint NOT NULL
);

-- What holds for the cluster's whole life: one row.
CREATE TABLE cluster (
    one     bigint PRIMARY KEY CHECK (one = 1),
    cluster bytea NOT NULL,
    shards  bigint NOT NULL
);

-- One row a start of a node that entered the cluster; announced is what it said of itself, as JSON.
-- Lost means that a shard of it was taken, so its lease is never renewed again.
CREATE TABLE member (
    node        bytea PRIMARY KEY,
    name        text NOT NULL,
    state       text NOT NULL,
    lease_until bigint NOT NULL,
    lost        boolean NOT NULL DEFAULT false,
    health      text NOT NULL DEFAULT '{}',
    announced   text NOT NULL
);
CREATE INDEX member_name ON member (name);

-- Who took a shard last and did not give it back, and under which epoch.
CREATE TABLE shard (
    shard bigint PRIMARY KEY,
    owner bytea,
    epoch bigint NOT NULL DEFAULT 0
);

-- Roles are a JSON array.
CREATE TABLE token (
    id         bytea PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE,
    roles      text NOT NULL,
    made_by    text NOT NULL,
    made_at    bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at    bigint,
    used_by    bytea,
    revoked    boolean NOT NULL
);

CREATE TABLE identity (
    id          bytea PRIMARY KEY,
    name        text NOT NULL,
    roles       text NOT NULL,
    admitted_at bigint NOT NULL,
    revoked     boolean NOT NULL
);
CREATE INDEX identity_name ON identity (name);

-- The index: one row a stream, changed in the transaction of each append.
CREATE TABLE stream (
    stream     bytea PRIMARY KEY,
    kind       bigint NOT NULL,
    slot       bigint NOT NULL,
    tenant     text NOT NULL,
    head       bigint NOT NULL,
    epoch      bigint NOT NULL,
    owner      bytea NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    status     text COLLATE "C" NOT NULL,
    open       boolean NOT NULL,
    hidden     boolean NOT NULL,
    user_id    text NOT NULL,
    name       text,
    parent     bytea,
    parked     text,
    body       text NOT NULL
);
-- All are partial: a task that was completed stands in none of them.
CREATE INDEX stream_open ON stream (stream) WHERE open AND parked IS NULL;
CREATE INDEX stream_status ON stream (tenant, status, stream) WHERE status <> 'completed';
CREATE INDEX stream_parent ON stream (parent, stream) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX stream_name ON stream (tenant, kind, name) WHERE name IS NOT NULL AND NOT hidden;

-- The journal: one row a record. Positions are in the order of each stream; whoever reads along stops
-- at the lowest that is not committed yet.
CREATE TABLE event (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream   bytea NOT NULL,
    seq      bigint NOT NULL,
    count    bigint NOT NULL CHECK (count > 0),
    epoch    bigint NOT NULL,
    owner    bytea NOT NULL,
    cmd_id   bytea NOT NULL,
    tenant   text NOT NULL,
    actor    text NOT NULL,
    at       bigint NOT NULL,
    version  bigint NOT NULL,
    data     text NOT NULL,
    hash     bytea NOT NULL,
    UNIQUE (stream, seq)
);
CREATE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
FOR EACH STATEMENT EXECUTE FUNCTION journal_is_append_only();

-- Clients' keys: which stream a request made.
CREATE TABLE idem (
    tenant    text NOT NULL,
    key       text NOT NULL,
    body_hash bytea NOT NULL,
    stream    bytea NOT NULL,
    at        bigint NOT NULL,
    PRIMARY KEY (tenant, key)
);

CREATE TABLE reminder (
    stream bytea NOT NULL,
    slot   bigint NOT NULL,
    name   text COLLATE "C" NOT NULL,
    due    bigint NOT NULL,
    PRIMARY KEY (stream, name)
);
CREATE INDEX reminder_due ON reminder (due);

CREATE TABLE outbox (
    id      bytea PRIMARY KEY,
    stream  bytea NOT NULL,
    kind    text NOT NULL,
    payload text NOT NULL,
    due     bigint NOT NULL,
    tries   bigint NOT NULL
);
CREATE INDEX outbox_due ON outbox (due);

CREATE TABLE snapshot (
    stream  bytea PRIMARY KEY,
    seq     bigint NOT NULL,
    hash    bytea NOT NULL,
    version bigint NOT NULL,
    data    text NOT NULL
);

-- Read models that projections keep, and the position up to which each is folded.
CREATE TABLE view_row (
    view text NOT NULL,
    key  text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (view, key)
);
CREATE TABLE view_cursor (
    view     text PRIMARY KEY,
    position bigint NOT NULL
);

-- For people with a SQL shell; nothing in Troupe reads these.
CREATE FUNCTION address(packed bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE get_byte(packed, 0) WHEN 1 THEN 'agent_' WHEN 2 THEN 'task_' END
           || encode(substr(packed, 2), 'hex')
$$;

CREATE VIEW stream_text AS
SELECT address(stream) AS id, tenant, head, epoch >> 40 AS incarnation,
       epoch & ((1::bigint << 40) - 1) AS epoch,
       to_timestamp(created_at / 1e6) AS created_at, to_timestamp(updated_at / 1e6) AS updated_at,
       status, open, hidden, user_id, name, address(parent) AS parent, parked,
       body::jsonb AS body, kind, stream
FROM stream;

CREATE VIEW event_text AS
SELECT position, address(stream) AS stream, seq, count, 'cmd_' || encode(cmd_id, 'hex') AS cmd_id,
       tenant, actor, to_timestamp(at / 1e6) AS at, version, data::jsonb AS data,
       encode(hash, 'hex') AS hash
FROM event;

-- One row an event: what a record holds is an array.
CREATE VIEW event_each AS
SELECT event.stream, event.seq + each.number - 1 AS seq, each.event ->> 'type' AS type, each.event
FROM event, jsonb_array_elements(event.data::jsonb) WITH ORDINALITY AS each (event, number);

CREATE VIEW agents AS
SELECT id, name, coalesce(body ->> 'description', '') AS description, body ->> 'agent_type' AS agent_type,
       coalesce(body ->> 'endpoint', '') AS endpoint, body -> 'capabilities' AS capabilities,
       status, body -> 'config' AS config, body -> 'metadata' AS metadata, created_at, updated_at
FROM stream_text WHERE kind = 1 AND NOT hidden;

CREATE VIEW tasks AS
SELECT id, body ->> 'session_id' AS session_id, user_id,
       -- Lists have the beginning of it; the events have all.
       coalesce((SELECT coalesce(event ->> 'description', event -> 'spec' ->> 'description')
                 FROM event_each
                 WHERE event_each.stream = stream_text.stream AND type IN ('submitted', 'amended')
                   AND coalesce(event ->> 'description', event -> 'spec' ->> 'description') IS NOT NULL
                 ORDER BY seq DESC LIMIT 1), body ->> 'description') AS description,
       status,
       (SELECT event -> 'plan' FROM event_each
        WHERE event_each.stream = stream_text.stream AND type = 'planned'
        ORDER BY seq DESC LIMIT 1) AS plan,
       (SELECT event -> 'result' FROM event_each
        WHERE event_each.stream = stream_text.stream AND type = 'settled'
        ORDER BY seq DESC LIMIT 1) AS result,
       coalesce(body -> 'error' ->> 'message', body ->> 'error') AS error, created_at,
       (body ->> 'completed_at')::timestamptz AS completed_at
FROM stream_text WHERE kind = 2 AND NOT hidden;

-- These three show what the read models of the same names hold.
CREATE VIEW view_row_json AS SELECT view, key, body::jsonb AS body FROM view_row;

CREATE VIEW conversation_contexts AS
SELECT key AS id, coalesce(body ->> 'session_id', key) AS session_id,
       body ->> 'user_id' AS user_id, body -> 'metadata' AS metadata,
       (body ->> 'created_at')::timestamptz AS created_at,
       (body ->> 'last_activity')::timestamptz AS last_activity
FROM view_row_json WHERE view = 'conversation_contexts';

CREATE VIEW messages AS
SELECT key AS id, body ->> 'context_id' AS context_id, body ->> 'agent_id' AS agent_id,
       body ->> 'role' AS role, body ->> 'content' AS content, body -> 'metadata' AS metadata,
       (body ->> 'created_at')::timestamptz AS created_at
FROM view_row_json WHERE view = 'messages';

CREATE VIEW agent_config_templates AS
SELECT key AS id, coalesce(body ->> 'name', key) AS name, body ->> 'display_name' AS display_name,
       body ->> 'description' AS description, body ->> 'framework' AS framework,
       body -> 'request_mapping' AS request_mapping, body -> 'response_mapping' AS response_mapping,
       body -> 'auth_config' AS auth_config, body -> 'example_request' AS example_request,
       body -> 'example_response' AS example_response,
       coalesce((body ->> 'is_builtin')::boolean, false) AS is_builtin,
       coalesce((body ->> 'is_active')::boolean, true) AS is_active,
       (body ->> 'created_at')::timestamptz AS created_at,
       (body ->> 'updated_at')::timestamptz AS updated_at
FROM view_row_json WHERE view = 'agent_config_templates';
