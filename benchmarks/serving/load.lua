-- wrk's part of serve_load.py: visitors by turns that differ from thread to thread, and the figures as JSON.
-- Arguments: FILE (a request's address or body a line), MODE (get or predict).

local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  requests, at = {}, 0
  for line in io.lines(args[1]) do
    if args[2] == "get" and line:sub(1, 1) == "{" then
      requests[#requests + 1] = wrk.format("POST", "/events", { ["Content-Type"] = "application/json" }, line)
    elseif args[2] == "get" then
      requests[#requests + 1] = wrk.format("GET", line)
    else
      requests[#requests + 1] = wrk.format("POST", "/v1/models/wals:predict", { ["Content-Type"] = "application/json" }, line)
    end
  end
  at = (number * 7919) % #requests
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, all)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.3f, "bytes": %d, "p50_ms": %.3f, "p90_ms": %.3f, "p99_ms": %.3f, "p999_ms": %.3f, "max_ms": %.3f, ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
    latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3, latency.max / 1e3, e.connect, e.read, e.write, e.status, e.timeout))
end
