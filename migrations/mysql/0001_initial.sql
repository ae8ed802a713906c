-- What Farerush keeps for queries and for recovery. Money is in minor units, times are milliseconds since 1970 (UTC),
-- seats read like 12A. Rows are only ever written together with the flight's cursor, in one transaction.
--
-- For MySQL 8.0.16 or newer and MariaDB 10.6 or newer. A change of tables cannot be rolled back here, so that every
-- statement of a migration must do no harm when it is run again. Texts are compared byte by byte: u1 is not U1.

CREATE TABLE IF NOT EXISTS flights (
    flight_id              VARCHAR(40)  NOT NULL,
    flight_number          VARCHAR(64)  NOT NULL,
    origin                 VARCHAR(64)  NOT NULL,
    destination            VARCHAR(64)  NOT NULL,
    departs_at             BIGINT       NOT NULL,
    aircraft               VARCHAR(64),
    currency               VARCHAR(3)   NOT NULL,
    -- JSON: [{"cabin_class","rows":[first,last],"layout","fare"}], in the order they were added.
    cabins                 MEDIUMTEXT   NOT NULL,
    -- The secret that order ids are derived from: 64 bits, as a signed number.
    salt                   BIGINT       NOT NULL,
    sale_switch            VARCHAR(16)  NOT NULL,
    opens_at               BIGINT,
    closes_at              BIGINT,
    max_seats_per_order    INT          NOT NULL,
    max_seats_per_customer INT          NOT NULL,
    hold_seconds           INT          NOT NULL,
    created_at             BIGINT       NOT NULL,
    PRIMARY KEY (flight_id),
    CHECK (sale_switch IN ('scheduled', 'open', 'paused', 'closed'))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- One row a seat; order_no is empty while nobody has it.
CREATE TABLE IF NOT EXISTS tickets (
    flight_id   VARCHAR(40)  NOT NULL,
    seat        VARCHAR(8)   NOT NULL,
    row_no      INT          NOT NULL,
    letter      VARCHAR(1)   NOT NULL,
    cabin_class VARCHAR(32)  NOT NULL,
    fare        BIGINT       NOT NULL,
    status      VARCHAR(16)  NOT NULL,
    order_no    BIGINT,
    passenger   VARCHAR(200),
    PRIMARY KEY (flight_id, seat),
    CHECK (status IN ('free', 'held', 'sold', 'blocked')),
    CHECK ((order_no IS NOT NULL) = (status IN ('held', 'sold')))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- orders_by_id is not unique, because ON DUPLICATE KEY UPDATE would then change whichever row it finds there. Nor are
-- idempotency keys: one may be used again a day after its order has ended. The flight guards both.
CREATE TABLE IF NOT EXISTS orders (
    flight_id         VARCHAR(40)  NOT NULL,
    -- The seq of the event that placed it.
    order_no          BIGINT       NOT NULL,
    order_id          VARCHAR(64)  NOT NULL,
    record_locator    VARCHAR(16)  NOT NULL,
    customer_id       VARCHAR(128) NOT NULL,
    status            VARCHAR(16)  NOT NULL,
    -- 12A,12B: for an ended order the ones it had last.
    seats             MEDIUMTEXT   NOT NULL,
    quantity          INT          NOT NULL,
    total             BIGINT       NOT NULL,
    currency          VARCHAR(3)   NOT NULL,
    hold_expires_at   BIGINT,
    created_at        BIGINT       NOT NULL,
    updated_at        BIGINT       NOT NULL,
    -- The seq of the event that last changed it.
    changed_by        BIGINT       NOT NULL,
    -- JSON: names by place in seats, null where nobody was named.
    passengers        MEDIUMTEXT,
    client_reference  VARCHAR(128),
    payment_reference VARCHAR(128),
    idempotency_key   VARCHAR(128),
    -- 64 bits, as a signed number.
    fingerprint       BIGINT,
    PRIMARY KEY (flight_id, order_no),
    KEY orders_by_id (order_id),
    KEY orders_by_customer (customer_id, created_at, flight_id, order_no),
    KEY orders_by_time (created_at, flight_id, order_no),
    CHECK (status IN ('held', 'confirmed', 'cancelled', 'expired'))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- How far the rows of a flight have come, and who may write them.
CREATE TABLE IF NOT EXISTS flight_cursor (
    flight_id VARCHAR(40) NOT NULL,
    epoch     BIGINT      NOT NULL,
    seq       BIGINT      NOT NULL,
    -- When the event at seq was decided.
    last_at   BIGINT      NOT NULL,
    PRIMARY KEY (flight_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What admins did to a flight, by the seq of the event it became.
CREATE TABLE IF NOT EXISTS admin_audit (
    flight_id VARCHAR(40) NOT NULL,
    seq       BIGINT      NOT NULL,
    at        BIGINT      NOT NULL,
    action    VARCHAR(32) NOT NULL,
    -- JSON: what was asked for.
    details   MEDIUMTEXT  NOT NULL,
    PRIMARY KEY (flight_id, seq)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
