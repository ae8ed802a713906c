-- An idempotency key belongs to whoever sent it, and what came of a request that nothing else shows is kept beside it.
-- Each column is asked for first: every statement must do no harm when it is run again.

-- The owner is 'customer:' and the customer's id, 'admins', or empty: from before keys had owners. With it the primary
-- key changes, in one statement, so that there is never one without the other.
SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'requests' AND column_name = 'owner'
    ),
    'DO 0',
    'ALTER TABLE requests ADD COLUMN owner VARCHAR(140) NOT NULL DEFAULT '''' AFTER flight_id, DROP PRIMARY KEY, ADD PRIMARY KEY (flight_id, owner, idempotency_key)'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

-- JSON: {"closed":{"cancelled":n}} or {"reseated":{...}}.
SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'requests' AND column_name = 'outcome'
    ),
    'DO 0',
    'ALTER TABLE requests ADD COLUMN outcome MEDIUMTEXT'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;

-- What ended by this event or before was forgotten before its day was over; 0: nothing was.
SET @farerush_add = IF(
    EXISTS (
        SELECT 1 FROM information_schema.columns
        WHERE table_schema = DATABASE() AND table_name = 'flights' AND column_name = 'forgotten_through'
    ),
    'DO 0',
    'ALTER TABLE flights ADD COLUMN forgotten_through BIGINT NOT NULL DEFAULT 0'
);
PREPARE farerush_add FROM @farerush_add;
EXECUTE farerush_add;
DEALLOCATE PREPARE farerush_add;
