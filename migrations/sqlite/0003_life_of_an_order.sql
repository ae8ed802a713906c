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
