-- When a sale ends before departure, and the time zone of the place where a flight starts; of flights that were there
-- before, it is that of their origin, as far as the program knows it.
ALTER TABLE flights ADD COLUMN closes_before_minutes INTEGER NOT NULL DEFAULT 0;

ALTER TABLE flights ADD COLUMN origin_time_zone TEXT;
