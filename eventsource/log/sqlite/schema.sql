-- The tables of a Refold log, format 2. docs/log-format.md says what they mean.

-- One row per session. `number` is the high half of every key below and is never used twice.
-- `fork_seq`: last seq taken from `parent`. `root`: number of the first session of the tree of forks and children.
-- `source`: what it was imported from. `head`, `link`: of the last append that held a fact (no link: it is that of the
-- first event, `fork`).
-- `given`: the title it was made with. `crc`: CRC-32 of what never changes, as JSON: [number, id, parent, fork_seq, given,
-- created_at_us], and, where there is one of the two, started_by and source. `title` to `folds`: what its events come to
-- (`rebuild` computes them again). `first_words`: of the event at `first_seq` (-1: the folds are still to be computed).
-- `base`: the digest a fork began with, kept once what it was made of is gone.
-- `due_at_us`: when a worker should look at a session whose task is open; while a lease is held, the lease's end.
-- `removals`: how often something that it can see was dropped or erased. `searched`: up to which seq the search knows it.
-- `mark`: set within the transaction of an erase, a delete or an archiving, and by nobody else.
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    parent INTEGER REFERENCES sessions (number),
    fork_seq INTEGER NOT NULL DEFAULT 0,
    root INTEGER NOT NULL,
    started_by TEXT NOT NULL DEFAULT '',
    source TEXT UNIQUE,
    head INTEGER NOT NULL,
    link BLOB,
    given TEXT NOT NULL DEFAULT '',
    created_at_us INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    updated_at_us INTEGER NOT NULL,
    title TEXT NOT NULL DEFAULT '',
    title_folded TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'empty',
    open INTEGER NOT NULL DEFAULT 0,
    unfinished INTEGER NOT NULL DEFAULT 0,
    wake_at_us INTEGER,
    task TEXT NOT NULL DEFAULT '',
    queue TEXT NOT NULL DEFAULT '',
    messages INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    cost_microusd INTEGER,
    inherited_input_tokens INTEGER NOT NULL DEFAULT 0,
    inherited_output_tokens INTEGER NOT NULL DEFAULT 0,
    inherited_cost_microusd INTEGER,
    turns INTEGER NOT NULL DEFAULT 0,
    errors INTEGER NOT NULL DEFAULT 0,
    labels INTEGER NOT NULL DEFAULT 0,
    first_seq INTEGER NOT NULL DEFAULT 0,
    model TEXT NOT NULL DEFAULT '',
    models TEXT NOT NULL DEFAULT '[]',
    last TEXT NOT NULL DEFAULT '',
    agent TEXT NOT NULL DEFAULT '',
    folder TEXT NOT NULL DEFAULT '',
    branch TEXT NOT NULL DEFAULT '',
    folds TEXT,
    first_words TEXT NOT NULL DEFAULT '',
    due_at_us INTEGER,
    owner TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    expires_at_us INTEGER NOT NULL DEFAULT 0,
    base BLOB,
    removals INTEGER NOT NULL DEFAULT 0,
    searched INTEGER NOT NULL DEFAULT 0,
    archived_at_us INTEGER,
    mark TEXT
) STRICT;

CREATE INDEX updated ON sessions (updated_at_us, number);
CREATE INDEX forks ON sessions (parent) WHERE parent IS NOT NULL;
CREATE INDEX tree ON sessions (root);
CREATE INDEX titled ON sessions (title) WHERE title != '';
CREATE INDEX first_titled ON sessions (given) WHERE given != '';
CREATE INDEX due ON sessions (queue, due_at_us) WHERE due_at_us IS NOT NULL;
CREATE INDEX owned ON sessions (owner) WHERE owner IS NOT NULL;
CREATE INDEX unfolded ON sessions (number) WHERE first_seq = -1;

-- One row per fact; id = number << 32 | seq. `u`: SHA-256 of the updates before it. `link`: digest after it, with the
-- last fact of an append. `b`: SHA-256 of the body, where the body is in `bodies` (32 bytes) or was erased
-- (64 bytes: of what it was, and of what is left).
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    body TEXT NOT NULL,
    u BLOB,
    link BLOB,
    b BLOB
) STRICT;

-- `count` updates without a gap, the last of which is id & 0xffffffff. kind 0: packed, 1: sealed, 2: dropped.
CREATE TABLE updates (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    count INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE INDEX dropped ON updates (id, count) WHERE kind = 2;

-- Large bodies, and images as they came (base64 text), each once, and the events that name them.
CREATE TABLE bodies (sha256 BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE refs (sha256 BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (sha256, id)) STRICT, WITHOUT ROWID;
CREATE INDEX refs_of ON refs (id);

-- What a caller's key was answered. `crc`: CRC-32 of [number, key, head] as JSON.
CREATE TABLE keys (
    number INTEGER NOT NULL, key TEXT NOT NULL, head INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (number, key)
) STRICT, WITHOUT ROWID;

-- The folds at a fact, now and then, so that a fork need not read its parent from the start.
CREATE TABLE snapshots (id INTEGER PRIMARY KEY, folds TEXT NOT NULL) STRICT;

-- What an archived session recorded, in pieces; id = number << 32 | place. `kind`: how `body` is packed, `size` and
-- `sha256` are those of what was. `letters`: which three letters in a row its texts have, with the first piece.
CREATE TABLE frames (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    size INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    letters BLOB NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TRIGGER events_never_change BEFORE UPDATE ON events
WHEN (SELECT mark FROM sessions WHERE number = OLD.id >> 32) IS NOT 'erase'
BEGIN SELECT RAISE(ABORT, 'an event never changes; only erase may remove its content'); END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
WHEN coalesce((SELECT mark FROM sessions WHERE number = OLD.id >> 32), '') NOT IN ('delete', 'archive')
BEGIN SELECT RAISE(ABORT, 'an event is deleted with its whole session only'); END;

CREATE TRIGGER sessions_keep_their_place
BEFORE UPDATE OF number, id, parent, fork_seq, root, started_by, source, given, created_at_us, crc ON sessions
BEGIN SELECT RAISE(ABORT, 'a session keeps its id, its number and its place in the tree'); END;

CREATE TRIGGER sessions_are_not_orphaned BEFORE DELETE ON sessions
WHEN OLD.mark IS NOT 'delete' OR EXISTS (SELECT 1 FROM sessions WHERE parent = OLD.number)
BEGIN SELECT RAISE(ABORT, 'a session with events or forks is deleted by `refold rm` only'); END;

-- For the plain sqlite3 shell: the facts each session recorded, and the facts each session's history holds.
CREATE VIEW event AS
SELECT s.id AS session, e.id & 4294967295 AS seq,
    strftime('%Y-%m-%d %H:%M:%f', e.at_us / 1000000.0, 'unixepoch') AS at,
    json_extract(e.body, '$.type') AS type, coalesce(CAST(b.body AS TEXT), e.body) AS body
FROM events e JOIN sessions s ON s.number = e.id >> 32 LEFT JOIN bodies b ON b.sha256 = e.b;

CREATE VIEW history AS
WITH RECURSIVE line (session, number, parent, first, last) AS (
    SELECT id, number, parent, fork_seq + 1, 4294967295 FROM sessions
    UNION ALL
    SELECT l.session, s.number, s.parent, s.fork_seq + 1, min(l.last, l.first - 1)
    FROM line l JOIN sessions s ON s.number = l.parent
)
SELECT l.session AS session, e.id & 4294967295 AS seq,
    strftime('%Y-%m-%d %H:%M:%f', e.at_us / 1000000.0, 'unixepoch') AS at,
    json_extract(e.body, '$.type') AS type, coalesce(CAST(b.body AS TEXT), e.body) AS body
FROM line l JOIN events e ON e.id BETWEEN (l.number << 32 | l.first) AND (l.number << 32 | l.last)
LEFT JOIN bodies b ON b.sha256 = e.b;
