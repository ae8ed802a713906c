-- What Farerush keeps for queries and for recovery. Money is in minor units, times are milliseconds since 1970 (UTC),
-- seats read like 12A. Rows are only ever written together with the flight's cursor, in one transaction.

CREATE TABLE flights (
    flight_id              TEXT    NOT NULL PRIMARY KEY,
    flight_number          TEXT    NOT NULL,
    origin                 TEXT    NOT NULL,
    destination            TEXT    NOT NULL,
    departs_at             INTEGER NOT NULL,
    aircraft               TEXT,
    currency               TEXT    NOT NULL,
    -- JSON: [{"cabin_class","rows":[first,last],"layout","fare"}], in the order they were added.
    cabins                 TEXT    NOT NULL,
    -- The secret that order ids are derived from.
    salt                   INTEGER NOT NULL,
    sale_switch            TEXT    NOT NULL CHECK (sale_switch IN ('scheduled', 'open', 'paused', 'closed')),
    opens_at               INTEGER,
    closes_at              INTEGER,
    max_seats_per_order    INTEGER NOT NULL,
    max_seats_per_customer INTEGER NOT NULL,
    hold_seconds           INTEGER NOT NULL,
    created_at             INTEGER NOT NULL
) STRICT;

-- One row a seat; order_no is empty while nobody has it.
CREATE TABLE tickets (
    flight_id   TEXT    NOT NULL,
    seat        TEXT    NOT NULL,
    row_no      INTEGER NOT NULL,
    letter      TEXT    NOT NULL,
    cabin_class TEXT    NOT NULL,
    fare        INTEGER NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('free', 'held', 'sold', 'blocked')),
    order_no    INTEGER,
    passenger   TEXT,
    PRIMARY KEY (flight_id, seat),
    CHECK ((order_no IS NOT NULL) = (status IN ('held', 'sold')))
) STRICT, WITHOUT ROWID;

CREATE TABLE orders (
    flight_id         TEXT    NOT NULL,
    -- The seq of the event that placed it.
    order_no          INTEGER NOT NULL,
    order_id          TEXT    NOT NULL,
    record_locator    TEXT    NOT NULL,
    customer_id       TEXT    NOT NULL,
    status            TEXT    NOT NULL CHECK (status IN ('held', 'confirmed', 'cancelled', 'expired')),
    -- 12A,12B: for an ended order the ones it had last.
    seats             TEXT    NOT NULL,
    quantity          INTEGER NOT NULL,
    total             INTEGER NOT NULL,
    currency          TEXT    NOT NULL,
    hold_expires_at   INTEGER,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    -- The seq of the event that last changed it.
    changed_by        INTEGER NOT NULL,
    -- JSON: names by place in seats, null where nobody was named.
    passengers        TEXT,
    client_reference  TEXT,
    payment_reference TEXT,
    -- Not unique: a key may be used again a day after its order has ended. The flight guards it.
    idempotency_key   TEXT,
    -- 64 bits, as a signed number.
    fingerprint       INTEGER,
    PRIMARY KEY (flight_id, order_no)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX orders_by_id ON orders (order_id);
CREATE INDEX orders_by_customer ON orders (customer_id, created_at, flight_id, order_no);
CREATE INDEX orders_by_time ON orders (created_at, flight_id, order_no);

-- How far the rows of a flight have come, and who may write them.
CREATE TABLE flight_cursor (
    flight_id TEXT    NOT NULL PRIMARY KEY,
    epoch     INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    -- When the event at seq was decided.
    last_at   INTEGER NOT NULL
) STRICT;

-- What admins did to a flight, by the seq of the event it became.
CREATE TABLE admin_audit (
    flight_id TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    action    TEXT    NOT NULL,
    -- JSON: what was asked for.
    details   TEXT    NOT NULL,
    PRIMARY KEY (flight_id, seq)
) STRICT, WITHOUT ROWID;
