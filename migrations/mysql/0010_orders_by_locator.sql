-- Look-ups that an admin makes for somebody who reads out a record locator, and lists by status, read all orders without these.
-- Each index is asked for first: MySQL knows no ADD INDEX IF NOT EXISTS, and every statement must do no harm when it is run
-- again.

SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = 'orders' AND index_name = 'orders_by_locator'
    ),
    'DO 0',
    'ALTER TABLE orders ADD INDEX orders_by_locator (record_locator)'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.statistics
        WHERE table_schema = DATABASE() AND table_name = 'orders' AND index_name = 'orders_by_status'
    ),
    'DO 0',
    'ALTER TABLE orders ADD INDEX orders_by_status (status, created_at, flight_id, order_no)'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;
