-- Payments that came for nothing: too late, twice, or for a cancelled order. JSON: their references, in the order they
-- came. Their money goes back, too: refunds has a row for each.

SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'orders' AND column_name = 'returned_payments'
    ),
    'DO 0',
    'ALTER TABLE orders ADD COLUMN returned_payments TEXT'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;
