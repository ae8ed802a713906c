-- What wrk asks for, the same of every server. Behind `--`: CASE PREFIX FLIGHTS SEATS SPREAD CUSTOMERS TAKEN
--   CASE       win: a seat of the flights <PREFIX>W1..; sold: a seat of <PREFIX>S1.., which have none left;
--              map: the seats of <PREFIX>M1..; mixed: of ten requests three that win, three that do not, four maps
--   FLIGHTS    how many flights there are; SEATS: how many seats each has of those that sell
--   SPREAD     hot: the crowd is at one flight, and at the next one when that is sold out; wide: at all flights in turn
--   CUSTOMERS  how many customers there were before: each request is a new one's; TAKEN: seats that were asked for
local case, prefix, flights, seats, is_wide, made, taken
local head = " HTTP/1.1\r\nHost: localhost\r\n"

function init(args)
    case, prefix, flights, seats = args[1], args[2], tonumber(args[3]), tonumber(args[4])
    is_wide = args[5] == "wide"
    made, taken = tonumber(args[6]), tonumber(args[7])
end

local function grab(kind, flight)
    local body = '{"customer_id":"u' .. made .. '","quantity":1}'
    return "POST /v1/flights/" .. prefix .. kind .. flight .. "/orders" .. head
        .. "Content-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

local function win()
    local flight = is_wide and taken % flights or math.floor(taken / seats)
    taken = taken + 1
    return grab("W", flight + 1)
end

local function any()
    return is_wide and made % flights + 1 or 1
end

local function map()
    return "GET /v1/flights/" .. prefix .. "M" .. any() .. "/seats" .. head .. "\r\n"
end

function request()
    made = made + 1
    if case == "win" then
        return win()
    elseif case == "sold" then
        return grab("S", any())
    elseif case == "map" then
        return map()
    end
    local turn = made % 10
    if turn < 3 then
        return win()
    elseif turn < 6 then
        return grab("S", any())
    end
    return map()
end
