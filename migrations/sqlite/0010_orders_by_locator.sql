-- Look-ups that an admin makes for somebody who reads out a record locator, and lists by status, read all orders without these.
CREATE INDEX orders_by_locator ON orders (record_locator);

CREATE INDEX orders_by_status ON orders (status, created_at, flight_id, order_no);
