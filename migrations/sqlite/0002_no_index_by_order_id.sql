-- An order's id holds its flight and its number, which are the primary key: no query looks an order up by this index,
-- and keeping it made every insert dearer.
DROP INDEX IF EXISTS orders_by_id;
