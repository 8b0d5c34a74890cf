-- Streams are named by 17 bytes: the kind's code (1 agent, 2 task), then the UUID; the last two of
-- them are the slot, which modulo the number of shards is the shard.
-- Moments are microseconds since 1970, UTC. The views at the end read all of it as text.

-- What the database says of itself; db_incarnation is raised when it was restored or failed over,
-- epoch is the last that was handed out, store tells it from every other.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('db_incarnation', 1), ('epoch', 0), ('clean', 1), ('probe', 0),
    ('store', random() & 0x7fffffffffffffff);

-- One row a start of a process.
CREATE TABLE node (
    node    BLOB PRIMARY KEY,
    name    TEXT NOT NULL,
    epoch   INTEGER NOT NULL UNIQUE,
    started INTEGER NOT NULL
);

-- What holds for the cluster's whole life: one row.
CREATE TABLE cluster (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    cluster BLOB NOT NULL,
    shards  INTEGER NOT NULL
);

-- One row a start of a node that entered the cluster; announced is what it said of itself, as JSON.
-- Lost means that a shard of it was taken, so its lease is never renewed again.
CREATE TABLE member (
    node        BLOB PRIMARY KEY,
    name        TEXT NOT NULL,
    state       TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    lost        INTEGER NOT NULL DEFAULT 0,
    health      TEXT NOT NULL DEFAULT '{}',
    announced   TEXT NOT NULL
);
CREATE INDEX member_name ON member (name);

-- Who took a shard last and did not give it back, and under which epoch.
CREATE TABLE shard (
    shard INTEGER PRIMARY KEY,
    owner BLOB,
    epoch INTEGER NOT NULL DEFAULT 0
);

-- Roles are a JSON array.
CREATE TABLE token (
    id         BLOB PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    roles      TEXT NOT NULL,
    made_by    TEXT NOT NULL,
    made_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    used_by    BLOB,
    revoked    INTEGER NOT NULL
);

CREATE TABLE identity (
    id          BLOB PRIMARY KEY,
    name        TEXT NOT NULL,
    roles       TEXT NOT NULL,
    admitted_at INTEGER NOT NULL,
    revoked     INTEGER NOT NULL
);
CREATE INDEX identity_name ON identity (name);

-- The index: one row a stream, changed in the transaction of each append.
CREATE TABLE stream (
    id         INTEGER PRIMARY KEY,
    stream     BLOB NOT NULL UNIQUE,
    kind       INTEGER NOT NULL,
    slot       INTEGER NOT NULL,
    tenant     TEXT NOT NULL,
    head       INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    owner      BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    status     TEXT NOT NULL,
    open       INTEGER NOT NULL,
    hidden     INTEGER NOT NULL,
    user_id    TEXT NOT NULL,
    name       TEXT,
    parent     BLOB,
    parked     TEXT,
    body       TEXT NOT NULL
);
-- All are partial: a task that was completed stands in none of them.
CREATE INDEX stream_open ON stream (stream) WHERE open = 1 AND parked IS NULL;
CREATE INDEX stream_status ON stream (tenant, status, stream) WHERE status <> 'completed';
CREATE INDEX stream_parent ON stream (parent, stream) WHERE parent IS NOT NULL;
CREATE UNIQUE INDEX stream_name ON stream (tenant, kind, name) WHERE name IS NOT NULL AND hidden = 0;

-- The journal: one row a record; its position is the order of commits.
CREATE TABLE event (
    position INTEGER PRIMARY KEY,
    stream   BLOB NOT NULL,
    seq      INTEGER NOT NULL,
    count    INTEGER NOT NULL CHECK (count > 0),
    epoch    INTEGER NOT NULL,
    owner    BLOB NOT NULL,
    cmd_id   BLOB NOT NULL,
    tenant   TEXT NOT NULL,
    actor    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    data     TEXT NOT NULL,
    hash     BLOB NOT NULL,
    UNIQUE (stream, seq)
);
CREATE TRIGGER event_is_never_updated BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- Clients' keys: which stream a request made.
CREATE TABLE idem (
    tenant    TEXT NOT NULL,
    key       TEXT NOT NULL,
    body_hash BLOB NOT NULL,
    stream    BLOB NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;

CREATE TABLE reminder (
    stream BLOB NOT NULL,
    slot   INTEGER NOT NULL,
    name   TEXT NOT NULL,
    due    INTEGER NOT NULL,
    PRIMARY KEY (stream, name)
) WITHOUT ROWID;
CREATE INDEX reminder_due ON reminder (due);

CREATE TABLE outbox (
    id      BLOB PRIMARY KEY,
    stream  BLOB NOT NULL,
    kind    TEXT NOT NULL,
    payload TEXT NOT NULL,
    due     INTEGER NOT NULL,
    tries   INTEGER NOT NULL
);
CREATE INDEX outbox_due ON outbox (due);

CREATE TABLE snapshot (
    stream  BLOB PRIMARY KEY,
    seq     INTEGER NOT NULL,
    hash    BLOB NOT NULL,
    version INTEGER NOT NULL,
    data    TEXT NOT NULL
);

-- Read models that projections keep, and the position up to which each is folded.
CREATE TABLE view_row (
    view TEXT NOT NULL,
    key  TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (view, key)
) WITHOUT ROWID;
CREATE TABLE view_cursor (
    view     TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;

-- For people with a SQL shell; nothing in Troupe reads these.
CREATE VIEW stream_text AS
SELECT CASE kind WHEN 1 THEN 'agent_' WHEN 2 THEN 'task_' END || lower(hex(substr(stream, 2))) AS id,
       tenant, head, epoch >> 40 AS incarnation, epoch & ((1 << 40) - 1) AS epoch,
       strftime('%Y-%m-%dT%H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', updated_at / 1e6, 'unixepoch') AS updated_at,
       status, open, hidden, user_id, name,
       CASE substr(hex(parent), 1, 2) WHEN '01' THEN 'agent_' WHEN '02' THEN 'task_' END
           || lower(hex(substr(parent, 2))) AS parent,
       parked, body, stream
FROM stream;

CREATE VIEW event_text AS
SELECT event.position, stream_text.id AS stream, event.seq, event.count,
       'cmd_' || lower(hex(event.cmd_id)) AS cmd_id, event.tenant, event.actor,
       strftime('%Y-%m-%dT%H:%M:%fZ', event.at / 1e6, 'unixepoch') AS at,
       event.version, event.data, lower(hex(event.hash)) AS hash
FROM event JOIN stream_text ON stream_text.stream = event.stream;

-- One row an event: what a record holds is an array.
CREATE VIEW event_each AS
SELECT event.stream, event.seq + each.key AS seq, each.value ->> '$.type' AS type, each.value AS event
FROM event, json_each(event.data) AS each;

CREATE VIEW agents AS
SELECT id, name,
       coalesce(body ->> '$.description', '') AS description,
       body ->> '$.agent_type' AS agent_type,
       coalesce(body ->> '$.endpoint', '') AS endpoint,
       body -> '$.capabilities' AS capabilities,
       status,
       body -> '$.config' AS config,
       body -> '$.metadata' AS metadata,
       created_at, updated_at
FROM stream_text WHERE id LIKE 'agent%' AND hidden = 0;

CREATE VIEW tasks AS
SELECT id,
       body ->> '$.session_id' AS session_id,
       user_id,
       -- Lists have the beginning of it; the events have all.
       coalesce((SELECT coalesce(event ->> '$.description', event ->> '$.spec.description') AS text
                 FROM event_each
                 WHERE event_each.stream = stream_text.stream AND type IN ('submitted', 'amended')
                   AND text IS NOT NULL
                 ORDER BY seq DESC LIMIT 1), body ->> '$.description') AS description,
       status,
       (SELECT event -> '$.plan' FROM event_each
        WHERE event_each.stream = stream_text.stream AND type = 'planned'
        ORDER BY seq DESC LIMIT 1) AS plan,
       (SELECT event -> '$.result' FROM event_each
        WHERE event_each.stream = stream_text.stream AND type = 'settled'
        ORDER BY seq DESC LIMIT 1) AS result,
       coalesce(body ->> '$.error.message', body ->> '$.error') AS error,
       created_at,
       body ->> '$.completed_at' AS completed_at
FROM stream_text WHERE id LIKE 'task%' AND hidden = 0;

-- These three show what the read models of the same names hold.
CREATE VIEW conversation_contexts AS
SELECT key AS id,
       coalesce(body ->> '$.session_id', key) AS session_id,
       body ->> '$.user_id' AS user_id,
       body -> '$.metadata' AS metadata,
       body ->> '$.created_at' AS created_at,
       body ->> '$.last_activity' AS last_activity
FROM view_row WHERE view = 'conversation_contexts';

CREATE VIEW messages AS
SELECT key AS id,
       body ->> '$.context_id' AS context_id,
       body ->> '$.agent_id' AS agent_id,
       body ->> '$.role' AS role,
       body ->> '$.content' AS content,
       body -> '$.metadata' AS metadata,
       body ->> '$.created_at' AS created_at
FROM view_row WHERE view = 'messages';

CREATE VIEW agent_config_templates AS
SELECT key AS id,
       coalesce(body ->> '$.name', key) AS name,
       body ->> '$.display_name' AS display_name,
       body ->> '$.description' AS description,
       body ->> '$.framework' AS framework,
       body -> '$.request_mapping' AS request_mapping,
       body -> '$.response_mapping' AS response_mapping,
       body -> '$.auth_config' AS auth_config,
       body -> '$.example_request' AS example_request,
       body -> '$.example_response' AS example_response,
       coalesce(body ->> '$.is_builtin', 0) AS is_builtin,
       coalesce(body ->> '$.is_active', 1) AS is_active,
       body ->> '$.created_at' AS created_at,
       body ->> '$.updated_at' AS updated_at
FROM view_row WHERE view = 'agent_config_templates';
