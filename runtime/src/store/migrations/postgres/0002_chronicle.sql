-- The past of the supervision trees. A chapter of a node's start can be read without any other and is
-- forgotten as a whole; moments are microseconds since 1970, numbers grow within a node's start.
CREATE TABLE chapter (
    node    bytea NOT NULL,
    chapter bigint NOT NULL,
    name    TEXT NOT NULL,
    since   bigint NOT NULL,
    until   bigint NOT NULL,
    ended   bigint,
    bytes   bigint NOT NULL,
    PRIMARY KEY (node, chapter)
);
CREATE INDEX chapter_since ON chapter (since);

-- The first of a chapter holds all that stood, the others what changed, about one a second.
CREATE TABLE segment (
    node    bytea NOT NULL,
    chapter bigint NOT NULL,
    number  bigint NOT NULL,
    kind    bigint NOT NULL,
    until   bigint NOT NULL,
    data    bytea NOT NULL,
    PRIMARY KEY (node, number)
);
CREATE INDEX segment_chapter ON segment (node, chapter, number);

-- What is out of service is shown after each start and takeover.
CREATE INDEX stream_parked ON stream (stream) WHERE parked IS NOT NULL;
