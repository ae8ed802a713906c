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
