-- KEYS[1] the record's key, and the channel of its hints; ARGV: "present" or "absent", the expected record, the next one, the writer
local current = redis.pcall('GET', KEYS[1])
if type(current) == 'table' then return current end
if current ~= (ARGV[1] == 'present' and ARGV[2]) then return {0, current} end
local stored = redis.pcall('SET', KEYS[1], ARGV[3])
if stored.err then return stored end
redis.pcall('PUBLISH', KEYS[1], ARGV[4])
return {1}
