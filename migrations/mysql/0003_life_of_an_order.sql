-- Payments that stop a hold's deadline, who caused what, and the keys of requests that changed something. Each column is
-- asked for first: MySQL knows no ADD COLUMN IF NOT EXISTS, and every statement must do no harm when it is run again.

SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'flights' AND column_name = 'payment_grace_seconds'
    ),
    'DO 0',
    'ALTER TABLE flights ADD COLUMN payment_grace_seconds INT NOT NULL DEFAULT 120'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'orders' AND column_name = 'payment_begun_at'
    ),
    'DO 0',
    'ALTER TABLE orders ADD COLUMN payment_begun_at BIGINT'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'admin_audit' AND column_name = 'admin'
    ),
    'DO 0',
    'ALTER TABLE admin_audit ADD COLUMN admin VARCHAR(64)'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

-- Keys of requests other than grabs, for a day; a grab's key stands in its order.
CREATE TABLE IF NOT EXISTS requests (
    flight_id       VARCHAR(40)  NOT NULL,
    idempotency_key VARCHAR(128) NOT NULL,
    -- 64 bits, as a signed number.
    fingerprint     BIGINT       NOT NULL,
    -- The seq of the event that followed from it.
    seq             BIGINT       NOT NULL,
    at              BIGINT       NOT NULL,
    -- The order it was about, if it was about one.
    order_no        BIGINT,
    PRIMARY KEY (flight_id, idempotency_key)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What is to be given back: a row for each event by which an order that had been confirmed ended.
CREATE TABLE IF NOT EXISTS refunds (
    flight_id         VARCHAR(40)  NOT NULL,
    seq               BIGINT       NOT NULL,
    order_no          BIGINT       NOT NULL,
    order_id          VARCHAR(64)  NOT NULL,
    record_locator    VARCHAR(16)  NOT NULL,
    customer_id       VARCHAR(128) NOT NULL,
    -- 12A,12B: those that it lost.
    seats             MEDIUMTEXT   NOT NULL,
    amount            BIGINT       NOT NULL,
    currency          VARCHAR(3)   NOT NULL,
    payment_reference VARCHAR(128),
    at                BIGINT       NOT NULL,
    reason            VARCHAR(16)  NOT NULL,
    PRIMARY KEY (flight_id, seq, order_no)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- How far webhooks were delivered, apart from the flights' other rows.
CREATE TABLE IF NOT EXISTS webhook_cursor (
    -- Empty: webhooks have been configured once, so that a flight without a row was created since.
    flight_id  VARCHAR(40) NOT NULL,
    -- The last event of which everything was delivered.
    seq        BIGINT      NOT NULL,
    -- Seats on sale after that event, if that is known.
    free_seats INT,
    PRIMARY KEY (flight_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Who waits for seats, and who did: a row for each party. Nobody loses theirs when they wait no longer.
CREATE TABLE IF NOT EXISTS waitlist (
    flight_id        VARCHAR(40)  NOT NULL,
    -- The seq of the event that put it there.
    entry_no         BIGINT       NOT NULL,
    waitlist_id      VARCHAR(64)  NOT NULL,
    customer_id      VARCHAR(128) NOT NULL,
    party_size       INT          NOT NULL,
    accept           VARCHAR(16)  NOT NULL,
    -- Only with at_least.
    at_least         INT,
    cabin_class      VARCHAR(16),
    expires_at       BIGINT,
    client_reference VARCHAR(128),
    status           VARCHAR(16)  NOT NULL,
    -- The order it got, if it was served.
    order_no         BIGINT,
    created_at       BIGINT       NOT NULL,
    updated_at       BIGINT       NOT NULL,
    changed_by       BIGINT       NOT NULL,
    PRIMARY KEY (flight_id, entry_no)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
