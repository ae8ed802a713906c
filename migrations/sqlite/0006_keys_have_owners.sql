-- An idempotency key belongs to whoever sent it, and what came of a request that nothing else shows is kept beside it.
CREATE TABLE requests_with_owners (
    flight_id       TEXT    NOT NULL,
    -- 'customer:' and the customer's id, 'admins', or empty: from before keys had owners.
    owner           TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    fingerprint     INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    at              INTEGER NOT NULL,
    order_no        INTEGER,
    -- JSON: {"closed":{"cancelled":n}} or {"reseated":{...}}.
    outcome         TEXT,
    PRIMARY KEY (flight_id, owner, idempotency_key)
) STRICT, WITHOUT ROWID;

INSERT INTO requests_with_owners (flight_id, owner, idempotency_key, fingerprint, seq, at, order_no)
SELECT flight_id, '', idempotency_key, fingerprint, seq, at, order_no FROM requests;

DROP TABLE requests;

ALTER TABLE requests_with_owners RENAME TO requests;

-- What ended by this event or before was forgotten before its day was over; 0: nothing was.
ALTER TABLE flights ADD COLUMN forgotten_through INTEGER NOT NULL DEFAULT 0;
