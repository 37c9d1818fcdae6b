-- Comes before each script. KEYS[1] the group, KEYS[2] the changes.
-- Returns the nonce and the change number of the group. It gets the nonce `fresh` where it has none, and where it has made
-- fewer writes than a relay has seen (`...`: nonces and change numbers): then it went back, and every relay must read all.
local function enter(fresh, ...)
  local nonce, change = unpack(redis.call('HMGET', KEYS[1], 'nonce', 'change'))
  -- what somebody else has written there, and HINCRBY does not count on from, is no history
  change = change and (change == '0' or change:match('^[1-9]%d*$')) and tonumber(change)
  if change and change >= 2^53 then change = nil end
  local is_same = nonce and nonce:match('^[1-9]%d*$') and #nonce <= 16 and change
  local seen = {...}
  for i = 1, #seen, 2 do
    if is_same and nonce == seen[i] and change < tonumber(seen[i + 1]) then is_same = false end
  end
  if not is_same then
    nonce, change = fresh, change or 0
    redis.call('HSET', KEYS[1], 'nonce', nonce, 'change', change)
    -- of the other history: their numbers may lie ahead of this one, and be named by every poll
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1)
  end
  return nonce, change
end
