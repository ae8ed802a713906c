-- Ids that nobody can work out, and a chain of events by which a history can be told from another one.

-- The owners a flight has had: from which event, under which epoch, with which secret its ids are made.
ALTER TABLE flights ADD COLUMN eras TEXT;
-- The chain's head after the event that last changed an order: its receipt.
ALTER TABLE orders ADD COLUMN proof TEXT;
-- The chain's head after the event at the cursor.
ALTER TABLE flight_cursor ADD COLUMN head TEXT;

-- The chain's heads, those of one flush in one row, 32 digits each.
CREATE TABLE flight_heads (
    flight_id TEXT    NOT NULL,
    -- The event that the first of them stands for; the others follow it.
    first_seq INTEGER NOT NULL,
    heads     TEXT    NOT NULL,
    PRIMARY KEY (flight_id, first_seq)
) STRICT, WITHOUT ROWID;

-- Names of the secrets that ids in these tables were made with; the secrets themselves are the servers' alone.
CREATE TABLE id_secrets (
    secret  TEXT    NOT NULL,
    -- 1: all rows have the ids they shall have.
    settled INTEGER NOT NULL,
    PRIMARY KEY (secret)
) STRICT, WITHOUT ROWID;

-- Old ids could be worked out from one another. They are void from here on; the next start gives new ones.
UPDATE orders SET order_id = '', record_locator = '';
UPDATE waitlist SET waitlist_id = '';
UPDATE refunds SET order_id = '', record_locator = '';
