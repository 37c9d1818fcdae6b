-- KEYS[3] the record; ARGV: a fresh nonce, the latest cursor, "present" or "absent", the expected record, the next one, its id, the channel, the writer
local nonce, change = enter(ARGV[1], ARGV[2], ARGV[3])
local current = redis.call('GET', KEYS[3])
if current ~= (ARGV[4] == 'present' and ARGV[5]) then return {0, nonce, change, current} end
-- what is noted and not written costs a read; what is written and not noted would be missed
change = redis.call('HINCRBY', KEYS[1], 'change', 1)
redis.call('ZADD', KEYS[2], change, ARGV[7])
redis.call('SET', KEYS[3], ARGV[6])
redis.pcall('PUBLISH', ARGV[8], ARGV[9])
return {1, nonce, change}
