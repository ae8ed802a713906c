-- The usual way to take seats: one script in Redis, so that nobody comes between looking and taking.
-- KEYS[1]: the flight's hash, with `capacity` and `taken`. ARGV[1]: how many seats.
-- Gives the number of the first seat, counted from 0; -1: sold out; -2: no such flight.
-- Left out in its favour: limits per customer, idempotency keys, seats that come back, neighbours.
local flight = redis.call('HMGET', KEYS[1], 'capacity', 'taken')
if not flight[1] then
    return -2
end
local taken = tonumber(flight[2])
if taken + tonumber(ARGV[1]) > tonumber(flight[1]) then
    return -1
end
redis.call('HINCRBY', KEYS[1], 'taken', ARGV[1])
return taken
