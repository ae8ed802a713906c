-- Payments that stop a hold's deadline, who caused what, and the keys of requests that changed something.
ALTER TABLE flights ADD COLUMN payment_grace_seconds INTEGER NOT NULL DEFAULT 120;

ALTER TABLE orders ADD COLUMN payment_begun_at INTEGER;

ALTER TABLE admin_audit ADD COLUMN admin TEXT;

-- Keys of requests other than grabs, for a day; a grab's key stands in its order.
CREATE TABLE requests (
    flight_id       TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    fingerprint     INTEGER NOT NULL,
    -- The seq of the event that followed from it.
    seq             INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    -- The order it was about, if it was about one.
    order_no        INTEGER,
    PRIMARY KEY (flight_id, idempotency_key)
) STRICT, WITHOUT ROWID;

-- What is to be given back: a row for each event by which an order that had been confirmed ended.
CREATE TABLE refunds (
    flight_id         TEXT    NOT NULL,
    seq               INTEGER NOT NULL,
    order_no          INTEGER NOT NULL,
    order_id          TEXT    NOT NULL,
    record_locator    TEXT    NOT NULL,
    customer_id       TEXT    NOT NULL,
    -- 12A,12B: those that it lost.
    seats             TEXT    NOT NULL,
    amount            INTEGER NOT NULL,
    currency          TEXT    NOT NULL,
    payment_reference TEXT,
    at                INTEGER NOT NULL,
    reason            TEXT    NOT NULL CHECK (reason IN ('cancelled', 'seats_lost')),
    PRIMARY KEY (flight_id, seq, order_no)
) STRICT, WITHOUT ROWID;

-- How far webhooks were delivered, apart from the flights' other rows.
CREATE TABLE webhook_cursor (
    -- Empty: webhooks have been configured once, so that a flight without a row was created since.
    flight_id  TEXT    NOT NULL,
    -- The last event of which everything was delivered.
    seq        INTEGER NOT NULL,
    -- Seats on sale after that event, if that is known.
    free_seats INTEGER,
    PRIMARY KEY (flight_id)
) STRICT, WITHOUT ROWID;

-- Who waits for seats, and who did: a row for each party. Nobody loses theirs when they wait no longer.
CREATE TABLE waitlist (
    flight_id        TEXT    NOT NULL,
    -- The seq of the event that put it there.
    entry_no         INTEGER NOT NULL,
    waitlist_id      TEXT    NOT NULL,
    customer_id      TEXT    NOT NULL,
    party_size       INTEGER NOT NULL,
    accept           TEXT    NOT NULL CHECK (accept IN ('all_together', 'all', 'at_least')),
    -- Only with at_least.
    at_least         INTEGER,
    cabin_class      TEXT,
    expires_at       INTEGER,
    client_reference TEXT,
    status           TEXT    NOT NULL CHECK (status IN ('waiting', 'served', 'left', 'expired')),
    -- The order it got, if it was served.
    order_no         INTEGER,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    changed_by       INTEGER NOT NULL,
    PRIMARY KEY (flight_id, entry_no)
) STRICT, WITHOUT ROWID;
