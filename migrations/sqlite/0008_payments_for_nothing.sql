-- Payments that came for nothing: too late, twice, or for a cancelled order. Their money goes back, too.
ALTER TABLE orders ADD COLUMN returned_payments TEXT;

-- The same table with more reasons: SQLite cannot change a CHECK.
CREATE TABLE refunds_with_more_reasons (
    flight_id         TEXT    NOT NULL,
    seq               INTEGER NOT NULL,
    order_no          INTEGER NOT NULL,
    order_id          TEXT    NOT NULL,
    record_locator    TEXT    NOT NULL,
    customer_id       TEXT    NOT NULL,
    -- 12A,12B: those that it lost; empty where only money came.
    seats             TEXT    NOT NULL,
    amount            INTEGER NOT NULL,
    currency          TEXT    NOT NULL,
    payment_reference TEXT,
    at                INTEGER NOT NULL,
    reason            TEXT    NOT NULL CHECK (
        reason IN ('cancelled', 'seats_lost', 'paid_too_late', 'paid_already', 'paid_cancelled')
    ),
    PRIMARY KEY (flight_id, seq, order_no)
) STRICT, WITHOUT ROWID;

INSERT INTO refunds_with_more_reasons (
    flight_id, seq, order_no, order_id, record_locator, customer_id, seats, amount, currency, payment_reference, at, reason
)
SELECT
    flight_id, seq, order_no, order_id, record_locator, customer_id, seats, amount, currency, payment_reference, at, reason
FROM refunds;

DROP TABLE refunds;

ALTER TABLE refunds_with_more_reasons RENAME TO refunds;
