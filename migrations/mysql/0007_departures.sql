-- When a sale ends before departure, and the time zone of the place where a flight starts; of flights that were there
-- before, it is that of their origin, as far as the program knows it. Each column is asked for first: MySQL knows no ADD
-- COLUMN IF NOT EXISTS, and every statement must do no harm when it is run again.

SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'flights' AND column_name = 'closes_before_minutes'
    ),
    'DO 0',
    'ALTER TABLE flights ADD COLUMN closes_before_minutes INT NOT NULL DEFAULT 0'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'flights' AND column_name = 'origin_time_zone'
    ),
    'DO 0',
    'ALTER TABLE flights ADD COLUMN origin_time_zone VARCHAR(64)'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;
