-- SPDX-License-Identifier: Apache-2.0
-- wrk script: what bench.py asks for in the environment, and one RESULT line.
--   BENCH_METHOD, BENCH_BODY_BYTES   method and body size of the one request
--   BENCH_ROUTES=N                   GET over N route prefixes, shuffled
-- Without BENCH_ROUTES no request() is defined, so wrk builds the request once
-- and runs no Lua per request.
local method = os.getenv("BENCH_METHOD")
local bytes = tonumber(os.getenv("BENCH_BODY_BYTES") or "0")
local routes = tonumber(os.getenv("BENCH_ROUTES") or "0")

if method and method ~= "" then wrk.method = method end
if bytes > 0 then
  wrk.body = string.rep("0123456789abcdef", math.ceil(bytes / 16)):sub(1, bytes)
  wrk.headers["Content-Type"] = "application/octet-stream"
end

if routes > 0 then
  local reqs, at = {}, 0

  function init()
    local order, seed = {}, 12345
    for i = 0, routes - 1 do order[i + 1] = i end
    for i = routes, 2, -1 do
      seed = (seed * 1103515245 + 12345) % 2147483648
      local j = seed % i + 1
      order[i], order[j] = order[j], order[i]
    end
    for i = 1, routes do
      reqs[i] = wrk.format("GET", string.format("/svc%05d/v1/items?id=42", order[i]))
    end
  end

  function request()
    at = at % routes + 1
    return reqs[at]
  end
end

function done(summary, latency)
  local e = summary.errors
  print(string.format(
    'RESULT {"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,' ..
    '"status":%d,"timeout":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d}',
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write,
    e.status, e.timeout, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max))
end
