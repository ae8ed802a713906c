-- Which journal this store belongs to: one row, written by the first start. Another journal is refused, so that two
-- gateways with a journal each cannot sell the same seats.
CREATE TABLE journal_owner (
    -- Always 1.
    place      INTEGER NOT NULL CHECK (place = 1),
    journal_id TEXT    NOT NULL,
    -- Where it is, for people.
    journal    TEXT    NOT NULL,
    -- The process that has it, where only one can have it.
    holder     TEXT    NOT NULL,
    -- Counted up by those who use it for as long as they live (not in SQLite, whose file they lock).
    beats      INTEGER NOT NULL,
    PRIMARY KEY (place)
) STRICT, WITHOUT ROWID;
