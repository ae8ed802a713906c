-- Ids that nobody can work out, and a chain of events by which a history can be told from another one. Every statement may
-- be run again.

-- The owners a flight has had: from which event, under which epoch, with which secret its ids are made.
SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'flights' AND column_name = 'eras'
    ),
    'DO 0',
    'ALTER TABLE flights ADD COLUMN eras MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

-- The chain's head after the event that last changed an order: its receipt.
SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'orders' AND column_name = 'proof'
    ),
    'DO 0',
    'ALTER TABLE orders ADD COLUMN proof CHAR(32) CHARACTER SET ascii COLLATE ascii_bin'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

-- The chain's head after the event at the cursor.
SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'flight_cursor' AND column_name = 'head'
    ),
    'DO 0',
    'ALTER TABLE flight_cursor ADD COLUMN head CHAR(32) CHARACTER SET ascii COLLATE ascii_bin'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

-- The chain's heads, those of one flush in one row, 32 digits each.
CREATE TABLE IF NOT EXISTS flight_heads (
    flight_id VARCHAR(40) NOT NULL,
    -- The event that the first of them stands for; the others follow it.
    first_seq BIGINT      NOT NULL,
    heads     MEDIUMTEXT CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (flight_id, first_seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Names of the secrets that ids in these tables were made with; the secrets themselves are the servers' alone.
CREATE TABLE IF NOT EXISTS id_secrets (
    secret  CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- 1: all rows have the ids they shall have.
    settled INT NOT NULL,
    PRIMARY KEY (secret)
) ENGINE = InnoDB;

-- Old ids could be worked out from one another. They are void from here on; the next start gives new ones. Those are
-- longer than these ever were.
UPDATE orders SET order_id = '', record_locator = '' WHERE order_id <> '';
UPDATE waitlist SET waitlist_id = '' WHERE waitlist_id <> '';
UPDATE refunds SET order_id = '', record_locator = '' WHERE order_id <> '';
