-- The tables of a Refold log in PostgreSQL: those of eventsource/log/sqlite/schema.sql, column by column, so that rows can
-- be copied from one to the other as they are. docs/log-format.md says what they mean. VARCHAR: a text in which the
-- characters 0 and 26 may stand, written as 26 48 and 26 26, since PostgreSQL keeps no 0; the others are JSON, or our own.

CREATE TABLE sessions (
    number BIGINT PRIMARY KEY,
    id VARCHAR COLLATE "C" NOT NULL UNIQUE,
    parent BIGINT REFERENCES sessions (number),
    fork_seq BIGINT NOT NULL DEFAULT 0,
    root BIGINT NOT NULL,
    started_by VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    source VARCHAR COLLATE "C" UNIQUE,
    head BIGINT NOT NULL,
    link BYTEA,
    given VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    created_at_us BIGINT NOT NULL,
    crc BIGINT NOT NULL,
    updated_at_us BIGINT NOT NULL,
    title VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    title_folded VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    status VARCHAR COLLATE "C" NOT NULL DEFAULT 'empty',
    open BIGINT NOT NULL DEFAULT 0,
    unfinished BIGINT NOT NULL DEFAULT 0,
    wake_at_us BIGINT,
    task VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    queue VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    messages BIGINT NOT NULL DEFAULT 0,
    input_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    cache_write_1h_tokens BIGINT NOT NULL DEFAULT 0,
    reasoning_tokens BIGINT NOT NULL DEFAULT 0,
    cost_microusd BIGINT,
    inherited_input_tokens BIGINT NOT NULL DEFAULT 0,
    inherited_output_tokens BIGINT NOT NULL DEFAULT 0,
    inherited_cost_microusd BIGINT,
    turns BIGINT NOT NULL DEFAULT 0,
    errors BIGINT NOT NULL DEFAULT 0,
    labels BIGINT NOT NULL DEFAULT 0,
    first_seq BIGINT NOT NULL DEFAULT 0,
    model VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    models TEXT COLLATE "C" NOT NULL DEFAULT '[]',
    last VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    agent VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    folder VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    branch VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    folds TEXT COLLATE "C",
    first_words VARCHAR COLLATE "C" NOT NULL DEFAULT '',
    due_at_us BIGINT,
    owner VARCHAR COLLATE "C",
    epoch BIGINT NOT NULL DEFAULT 0,
    expires_at_us BIGINT NOT NULL DEFAULT 0,
    base BYTEA,
    removals BIGINT NOT NULL DEFAULT 0,
    searched BIGINT NOT NULL DEFAULT 0,
    archived_at_us BIGINT,
    mark VARCHAR COLLATE "C"
) WITH (fillfactor = 70);

CREATE SEQUENCE session_numbers OWNED BY sessions.number;
CREATE INDEX updated ON sessions (updated_at_us, number);
CREATE INDEX forks ON sessions (parent) WHERE parent IS NOT NULL;
CREATE INDEX tree ON sessions (root);
CREATE INDEX titled ON sessions (title) WHERE title != '';
CREATE INDEX first_titled ON sessions (given) WHERE given != '';
CREATE INDEX due ON sessions (queue, due_at_us) WHERE due_at_us IS NOT NULL;
CREATE INDEX owned ON sessions (owner) WHERE owner IS NOT NULL;

CREATE TABLE events (
    id BIGINT PRIMARY KEY, at_us BIGINT NOT NULL, body TEXT COLLATE "C" NOT NULL, u BYTEA, link BYTEA, b BYTEA
);
CREATE TABLE updates (
    id BIGINT PRIMARY KEY, kind BIGINT NOT NULL, count BIGINT NOT NULL, body BYTEA NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX dropped ON updates (id, count) WHERE kind = 2;
CREATE TABLE bodies (sha256 BYTEA PRIMARY KEY, body BYTEA NOT NULL);
CREATE TABLE refs (sha256 BYTEA NOT NULL, id BIGINT NOT NULL, PRIMARY KEY (sha256, id));
CREATE INDEX refs_of ON refs (id);
CREATE TABLE keys (
    number BIGINT NOT NULL, key VARCHAR COLLATE "C" NOT NULL, head BIGINT NOT NULL, crc BIGINT NOT NULL,
    PRIMARY KEY (number, key)
);
CREATE TABLE snapshots (id BIGINT PRIMARY KEY, folds TEXT COLLATE "C" NOT NULL);
CREATE TABLE frames (
    id BIGINT PRIMARY KEY, kind BIGINT NOT NULL, rows BIGINT NOT NULL, size BIGINT NOT NULL, sha256 BYTEA NOT NULL,
    letters BYTEA NOT NULL, body BYTEA NOT NULL
);

-- What the search looks through: what facts say, in one case. It follows the appends, and is no part of a log's format.
CREATE TABLE search_texts (id BIGINT PRIMARY KEY, text TEXT COLLATE "C" NOT NULL);
CREATE TABLE search_tools (
    name VARCHAR COLLATE "C" NOT NULL, number BIGINT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (name, number)
);

CREATE TABLE refold_format (number BIGINT NOT NULL);
INSERT INTO refold_format VALUES (2);

CREATE FUNCTION events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    marked TEXT := (SELECT mark FROM sessions WHERE number = OLD.id >> 32);
BEGIN
    IF TG_OP = 'UPDATE' AND marked IS DISTINCT FROM 'erase' THEN
        RAISE EXCEPTION 'an event never changes; only erase may remove its content';
    ELSIF TG_OP = 'DELETE' AND coalesce(marked, '') NOT IN ('delete', 'archive') THEN
        RAISE EXCEPTION 'an event is deleted with its whole session only';
    END IF;
    RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW ELSE OLD END;
END $$;
CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION events_stay();

CREATE FUNCTION sessions_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'a session keeps its id, its number and its place in the tree';
    ELSIF OLD.mark IS DISTINCT FROM 'delete' OR EXISTS (SELECT 1 FROM sessions WHERE parent = OLD.number) THEN
        RAISE EXCEPTION 'a session with events or forks is deleted by `refold rm` only';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER sessions_keep_their_place
BEFORE UPDATE OF number, id, parent, fork_seq, root, started_by, source, given, created_at_us, crc ON sessions
FOR EACH ROW EXECUTE FUNCTION sessions_stay();
CREATE TRIGGER sessions_are_not_orphaned BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION sessions_stay();

CREATE FUNCTION no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the events and sessions of a log are not emptied at once';
END $$;
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION no_truncate();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON sessions FOR EACH STATEMENT EXECUTE FUNCTION no_truncate();

-- What may be done to events is done by these, as their owner: whoever appends need not be allowed to change any.
CREATE FUNCTION refold_put_shape(shape TEXT, digests BYTEA, event BIGINT) RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$ UPDATE events SET body = shape, b = digests WHERE id = event $$;
CREATE FUNCTION refold_remove_events(first BIGINT, last BIGINT) RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$ DELETE FROM events WHERE id BETWEEN first AND last $$;

-- Everything that a batch of appends writes, in one call. c_*: the sessions it goes on with, and what it believes of their
-- ends; where something else is there, nothing is written (RF001). Rows are locked first and looked at then, by another
-- statement: one that does both looks at what was there before it waited.
CREATE FUNCTION refold_write(
    c_number BIGINT[], c_row_head BIGINT[], c_link BYTEA[], c_epoch BIGINT[], c_removals BIGINT[], c_head BIGINT[],
    b_sha256 BYTEA[], b_body BYTEA[], r_sha256 BYTEA[], r_id BIGINT[],
    e_id BIGINT[], e_at_us BIGINT[], e_body TEXT[], e_u BYTEA[], e_link BYTEA[], e_b BYTEA[],
    u_id BIGINT[], u_kind BIGINT[], u_count BIGINT[], u_body BYTEA[],
    s_id BIGINT[], s_folds TEXT[],
    k_number BIGINT[], k_key TEXT[], k_head BIGINT[], k_crc BIGINT[],
    m_head BIGINT[], m_link BYTEA[], m_updated_at_us BIGINT[], m_number BIGINT[],
    f_head BIGINT[], f_link BYTEA[], f_updated_at_us BIGINT[],
    f_title text[], f_title_folded text[], f_status text[], f_open bigint[], f_unfinished bigint[], f_wake_at_us
    bigint[], f_task text[], f_queue text[], f_messages bigint[], f_input_tokens bigint[], f_output_tokens bigint[],
    f_cache_read_tokens bigint[], f_cache_write_tokens bigint[], f_cache_write_1h_tokens bigint[],
    f_reasoning_tokens bigint[], f_cost_microusd bigint[], f_inherited_input_tokens bigint[],
    f_inherited_output_tokens bigint[], f_inherited_cost_microusd bigint[], f_turns bigint[], f_errors bigint[],
    f_labels bigint[], f_first_seq bigint[], f_model text[], f_last text[], f_agent text[], f_folder text[],
    f_branch text[], f_models text[], f_folds text[],
    f_number BIGINT[],
    w_first_words TEXT[], w_number BIGINT[], d_at_us BIGINT[], d_number BIGINT[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF c_number IS NOT NULL THEN
        PERFORM 1 FROM sessions WHERE number = ANY (c_number) ORDER BY number FOR NO KEY UPDATE;
        IF EXISTS (
            SELECT 1 FROM unnest(c_number, c_row_head, c_link, c_epoch, c_removals, c_head)
                AS c (number, row_head, link, epoch, removals, head)
            LEFT JOIN sessions s ON s.number = c.number
            WHERE (s.head, s.epoch, s.removals) IS DISTINCT FROM (c.row_head, c.epoch, c.removals)
                OR s.archived_at_us IS NOT NULL
                OR coalesce(s.link, (SELECT e.link FROM events e WHERE e.id = (s.number << 32 | s.fork_seq + 1)))
                    IS DISTINCT FROM c.link
                OR coalesce((SELECT u.id & 4294967295 FROM updates u
                    WHERE u.id > (s.number << 32 | s.head) AND u.id <= (s.number << 32 | 4294967295)
                    ORDER BY u.id DESC LIMIT 1), s.head) != c.head
        ) THEN
            RAISE EXCEPTION 'somebody else was here' USING ERRCODE = 'RF001';
        END IF;
    END IF;
    IF r_id IS NOT NULL THEN  -- who removes bodies that nothing refers to holds this lock alone
        PERFORM pg_advisory_xact_lock_shared('bodies'::regclass::oid::bigint);
    END IF;
    IF b_sha256 IS NOT NULL THEN
        INSERT INTO bodies SELECT * FROM unnest(b_sha256, b_body) ON CONFLICT DO NOTHING;
    END IF;
    IF r_id IS NOT NULL THEN
        INSERT INTO refs SELECT * FROM unnest(r_sha256, r_id) ON CONFLICT DO NOTHING;
    END IF;
    IF e_id IS NOT NULL THEN
        INSERT INTO events SELECT * FROM unnest(e_id, e_at_us, e_body, e_u, e_link, e_b);
    END IF;
    IF u_id IS NOT NULL THEN
        INSERT INTO updates SELECT * FROM unnest(u_id, u_kind, u_count, u_body);
    END IF;
    IF s_id IS NOT NULL THEN
        INSERT INTO snapshots SELECT * FROM unnest(s_id, s_folds) ON CONFLICT (id) DO UPDATE SET folds = excluded.folds;
    END IF;
    IF k_number IS NOT NULL THEN
        INSERT INTO keys SELECT * FROM unnest(k_number, k_key, k_head, k_crc);
    END IF;
    IF m_number IS NOT NULL THEN
        UPDATE sessions s SET head = m.head, link = m.link, updated_at_us = m.updated_at_us
        FROM unnest(m_head, m_link, m_updated_at_us, m_number) AS m (head, link, updated_at_us, number)
        WHERE s.number = m.number;
    END IF;
    IF f_number IS NOT NULL THEN
        UPDATE sessions s SET head = f.head, link = f.link, updated_at_us = f.updated_at_us,
            title = f.title, title_folded = f.title_folded, status = f.status, open = f.open, unfinished =
            f.unfinished, wake_at_us = f.wake_at_us, task = f.task, queue = f.queue, messages = f.messages,
            input_tokens = f.input_tokens, output_tokens = f.output_tokens, cache_read_tokens = f.cache_read_tokens,
            cache_write_tokens = f.cache_write_tokens, cache_write_1h_tokens = f.cache_write_1h_tokens,
            reasoning_tokens = f.reasoning_tokens, cost_microusd = f.cost_microusd, inherited_input_tokens =
            f.inherited_input_tokens, inherited_output_tokens = f.inherited_output_tokens, inherited_cost_microusd =
            f.inherited_cost_microusd, turns = f.turns, errors = f.errors, labels = f.labels, first_seq =
            f.first_seq, model = f.model, last = f.last, agent = f.agent, folder = f.folder, branch = f.branch,
            models = f.models, folds = f.folds
        FROM unnest(
            f_head, f_link, f_updated_at_us,
            f_title, f_title_folded, f_status, f_open, f_unfinished, f_wake_at_us, f_task, f_queue, f_messages,
            f_input_tokens, f_output_tokens, f_cache_read_tokens, f_cache_write_tokens, f_cache_write_1h_tokens,
            f_reasoning_tokens, f_cost_microusd, f_inherited_input_tokens, f_inherited_output_tokens,
            f_inherited_cost_microusd, f_turns, f_errors, f_labels, f_first_seq, f_model, f_last, f_agent, f_folder,
            f_branch, f_models, f_folds, f_number
        ) AS f (
            head, link, updated_at_us,
            title, title_folded, status, open, unfinished, wake_at_us, task, queue, messages, input_tokens,
            output_tokens, cache_read_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens,
            cost_microusd, inherited_input_tokens, inherited_output_tokens, inherited_cost_microusd, turns, errors,
            labels, first_seq, model, last, agent, folder, branch, models, folds, number
        )
        WHERE s.number = f.number;
    END IF;
    IF w_number IS NOT NULL THEN
        UPDATE sessions s SET first_words = w.words FROM unnest(w_first_words, w_number) AS w (words, number)
        WHERE s.number = w.number;
    END IF;
    IF d_number IS NOT NULL THEN
        UPDATE sessions s SET due_at_us =
            CASE WHEN d.at_us IS NULL OR owner IS NULL OR expires_at_us <= d.at_us THEN d.at_us ELSE expires_at_us END
        FROM unnest(d_at_us, d_number) AS d (at_us, number) WHERE s.number = d.number;
    END IF;
END $$;

-- For psql: the facts each session recorded, and the facts each session's history holds.
CREATE VIEW event AS
SELECT s.id AS session, e.id & 4294967295 AS seq, to_timestamp(e.at_us / 1000000.0) AT TIME ZONE 'UTC' AS at,
    e.body::json ->> 'type' AS type, coalesce(convert_from(b.body, 'UTF8'), e.body) AS body
FROM events e JOIN sessions s ON s.number = e.id >> 32 LEFT JOIN bodies b ON b.sha256 = e.b;

CREATE VIEW history AS
WITH RECURSIVE line (session, number, parent, first, last) AS (
    SELECT id, number, parent, fork_seq + 1, 4294967295 FROM sessions
    UNION ALL
    SELECT l.session, s.number, s.parent, s.fork_seq + 1, least(l.last, l.first - 1)
    FROM line l JOIN sessions s ON s.number = l.parent
)
SELECT l.session AS session, e.id & 4294967295 AS seq, to_timestamp(e.at_us / 1000000.0) AT TIME ZONE 'UTC' AS at,
    e.body::json ->> 'type' AS type, coalesce(convert_from(b.body, 'UTF8'), e.body) AS body
FROM line l JOIN events e ON e.id BETWEEN (l.number << 32 | l.first) AND (l.number << 32 | l.last)
LEFT JOIN bodies b ON b.sha256 = e.b;
