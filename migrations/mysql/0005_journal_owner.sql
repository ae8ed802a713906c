-- Which journal this store belongs to: one row, written by the first start. Another journal is refused, so that two
-- gateways with a journal each cannot sell the same seats.
CREATE TABLE IF NOT EXISTS journal_owner (
    -- Always 1.
    place      INT          NOT NULL,
    journal_id VARCHAR(64)  NOT NULL,
    -- Where it is, for people.
    journal    VARCHAR(512) NOT NULL,
    -- The process that has it, where only one can have it.
    holder     VARCHAR(64)  NOT NULL,
    -- Counted up by those who use it for as long as they live.
    beats      BIGINT       NOT NULL,
    PRIMARY KEY (place)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
