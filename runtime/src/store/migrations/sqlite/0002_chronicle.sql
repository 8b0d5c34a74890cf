-- The past of the supervision trees. A chapter of a node's start can be read without any other and is
-- forgotten as a whole; moments are microseconds since 1970, numbers grow within a node's start.
CREATE TABLE chapter (
    node    BLOB NOT NULL,
    chapter INTEGER NOT NULL,
    name    TEXT NOT NULL,
    since   INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    ended   INTEGER,
    bytes   INTEGER NOT NULL,
    PRIMARY KEY (node, chapter)
) WITHOUT ROWID;
CREATE INDEX chapter_since ON chapter (since);

-- The first of a chapter holds all that stood, the others what changed, about one a second.
CREATE TABLE segment (
    node    BLOB NOT NULL,
    chapter INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    data    BLOB NOT NULL,
    PRIMARY KEY (node, number)
);
CREATE INDEX segment_chapter ON segment (node, chapter, number);

-- What is out of service is shown after each start and takeover.
CREATE INDEX stream_parked ON stream (stream) WHERE parked IS NOT NULL;
