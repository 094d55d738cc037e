-- wrk's part of the load: sends prepared requests, each once (or round and round), and looks into every answer.
-- Arguments: the file of requests (each as its length, a line feed, its bytes), the text that an answer must hold,
-- "once" or "again". One thread only. Prints one JSON object.

local requests, place = {}, 0
local expected, again
local tally = {}

function setup(thread) tally[#tally + 1] = thread end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  expected, again = arguments[2], arguments[3] == "again"
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
  dried, missed, said = 0, 0, ""
end

function request()
  place = place + 1
  if place > #requests then
    if not again then dried = dried + 1 end
    place = 1
  end
  return requests[place]
end

function response(status, headers, body)
  if status ~= 200 or not string.find(body, expected, 1, true) then
    missed = missed + 1
    if said == "" then said = status .. " " .. string.sub(body, 1, 1000) end
  end
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c) return string.format("\\u%04x", c:byte()) end) .. '"'
end

function done(summary, latency, _)
  local thread, broken = tally[1], summary.errors
  print(string.format(
    '{"answered": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d, "dried": %d, "example": %s}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    thread:get("missed") + broken.connect + broken.read + broken.write + broken.timeout,
    thread:get("dried"), quoted(thread:get("said"))))
end
