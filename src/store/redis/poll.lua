-- KEYS[3] the relays; ARGV: a fresh nonce, the latest cursor, the cursor of the poll, this relay, its beat, its presence, one more than the most ids
local relays = redis.call('HGETALL', KEYS[3])
local me = #relays + 1
for i = 1, #relays, 2 do
  if relays[i] == ARGV[6] then me = i end
end
local beat, mine = relays[me] and relays[me + 1]:match('"beat":(%d+)') or '', ARGV[7]
-- by their digits: numbers of 64 bits do not fit into Lua's
if #beat < #mine or (#beat == #mine and beat < mine) then
  redis.call('HSET', KEYS[3], ARGV[6], ARGV[8])
  relays[me], relays[me + 1] = ARGV[6], ARGV[8]
end
local nonce, change = enter(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5])
local changed = false
if nonce == ARGV[4] then
  changed = {}
  if change > tonumber(ARGV[5]) then
    changed = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[5], '+inf', 'LIMIT', 0, ARGV[9])
  end
  if #changed == tonumber(ARGV[9]) then changed = false end
end
return {nonce, change, relays, changed}
