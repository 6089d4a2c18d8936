"""Every Lua script. Redis runs each as one step: nobody sees half of it.

A script touches the keys of one camera or of one stage alone, so that each works on a Cluster.
Scripts that write for an owner compare the token of its lease first and return -1 where somebody
else holds the lease, -2 where nobody does (it ran out, or the bus was restarted). A stream refuses
an id that is not newer: a repeated write changes nothing and returns 0. A write that is done
returns 1.
"""

from __future__ import annotations

_CHECK_LEASE = """
local owner = redis.call('GET', KEYS[1])
if not owner then return -2 end
if owner ~= ARGV[1] then return -1 end
"""

_CHECK_CURSOR = """
local function lacks(key, id)
    if id == '' then return false end
    local s1, q1 = string.match(redis.call('GET', key) or '0-0', '(%d+)-(%d+)')
    local s2, q2 = string.match(id, '(%d+)-(%d+)')
    s1, q1, s2, q2 = tonumber(s1), tonumber(q1), tonumber(s2), tonumber(q2)
    return s1 < s2 or (s1 == s2 and q1 < q2)
end
"""

_ADD_TO_STREAM = """
local function add(key, id, kept, first, last)
    local answer = redis.pcall('XADD', key, 'MAXLEN', kept, id, unpack(ARGV, first, last))
    if type(answer) ~= 'table' then return 1 end
    if string.find(answer.err, 'equal or smaller', 1, true) then return 0 end
    return answer
end
"""

NEWEST_ID = """
local entries = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if entries[1] then return entries[1][1] end
return nil
"""
"""Return the id of a stream's newest entry, without the entry.

KEYS: the stream.
"""

ADD_FRAME = (
    _CHECK_LEASE
    + _ADD_TO_STREAM
    + """
if ARGV[4] ~= '' then
    local last = '0-0'
    if redis.call('EXISTS', KEYS[2]) == 1 then
        local info = redis.call('XINFO', 'STREAM', KEYS[2])
        for i = 1, #info, 2 do if info[i] == 'last-generated-id' then last = info[i + 1] end end
    end
    if last ~= ARGV[4] and last ~= ARGV[2] then return -3 end
end
local added = add(KEYS[2], ARGV[2], ARGV[3], 5, #ARGV)
if added == 1 then redis.call('HINCRBY', KEYS[3], 'frames', 1) end
return added
"""
)
"""Append a frame.

KEYS: lease, frames, counters.
ARGV: token, id, frames kept, the id that must be the newest ('': any), the frame's fields.
Returns -3 where another id is the newest.
"""

ADD_SCORE = (
    _CHECK_LEASE
    + _CHECK_CURSOR
    + _ADD_TO_STREAM
    + """
if lacks(KEYS[4], ARGV[7]) then return -3 end
local counted = 7 + tonumber(ARGV[6])
local pictured = counted + tonumber(ARGV[5])
local added = add(KEYS[2], ARGV[2], ARGV[3], pictured + 1, #ARGV)
if added ~= 1 then return added end
add(KEYS[3], ARGV[2], ARGV[4], counted + 1, pictured)
redis.call('SET', KEYS[4], ARGV[2])
for at = 8, counted, 2 do redis.call('HINCRBY', KEYS[5], ARGV[at], ARGV[at + 1]) end
return 1
"""
)
"""Append a score with its heatmap, move the cursor and add to the counters.

KEYS: lease, scores, heat, cursor, counters.
ARGV: token, id, scores kept, heatmaps kept, number of words (names and values) of the heatmap,
number of words of the counters, the frame that the cursor must have reached ('': any), the
counters, the heatmap's fields, the score's fields.
Returns -3 where the cursor is behind: the bus has lost outcomes.
"""

ADD_GAP = (
    _CHECK_LEASE
    + _CHECK_CURSOR
    + """
if lacks(KEYS[3], ARGV[8]) then return -3 end
local session, first, last = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local at, seq = string.match(redis.call('GET', KEYS[3]) or '0-0', '(%d+)-(%d+)')
at, seq = tonumber(at), tonumber(seq)
if at > session or (at == session and seq >= last) then return 0 end
if at == session and seq >= first then first = seq + 1 end
redis.call('SET', KEYS[3], ARGV[2] .. '-' .. ARGV[4])
if ARGV[7] ~= '' then redis.call('HINCRBY', KEYS[4], ARGV[7], last - first + 1) end
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[6], '*', 'session', ARGV[2],
    'first', string.format('%.0f', first), 'frames', string.format('%.0f', last - first + 1),
    'reason', ARGV[5])
return 1
"""
)
"""Record frames that were never scored, move the cursor and count them.

KEYS: lease, gaps, cursor, counters.
ARGV: token, session, first seq, last seq, reason, gaps kept, counter ('': none), the frame that the
cursor must have reached ('': any).
Returns -3 where the cursor is behind. Frames that the cursor has passed are recorded already: by
the former owner, in a replay.
"""

RESTORE_CURSORS = (
    _CHECK_LEASE
    + """
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], ARGV[2], 'NX') end
if ARGV[3] ~= '' then redis.call('SET', KEYS[3], ARGV[3]) end
return 1
"""
)
"""Set the cursor where the bus has none, and the snapshot's cursor in any case.

KEYS: lease, cursor, snapshot's cursor. ARGV: token, cursor, snapshot's cursor ('': unknown).
"""

FRAME_TIMES = """
local times = {}
for _, row in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])) do
    local found = {}
    for i = 1, #row[2], 2 do found[row[2][i]] = row[2][i + 1] end
    times[#times + 1] = row[1]
    for _, name in ipairs({'captured_at', 'uptime', 'machine', 'late'}) do
        times[#times + 1] = found[name] or ''
    end
end
return times
"""
"""Return id, captured_at, uptime, machine and late of frames in turn, without the pixels.

KEYS: frames. ARGV: start of the range, number of frames.
"""

_LIST_WORKERS = """
local function workers(since)
    local present = {}
    for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf')) do
        present[#present + 1] = name
        present[#present + 1] = redis.call('HGET', KEYS[2], name) or '0'
    end
    return present
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

HEARTBEAT = (
    _LIST_WORKERS
    + """
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - 60000)) do
    redis.call('ZREM', KEYS[1], name)
    redis.call('HDEL', KEYS[2], name)
end
return workers(now - ARGV[3])
"""
)
"""Record that a worker is present, and return the workers present: name and load in turn.

KEYS: workers, loads. ARGV: worker, load, milliseconds since its last heartbeat for which a worker
counts as present.
"""

PRESENT_WORKERS = _LIST_WORKERS + "return workers(now - ARGV[1])"
"""Return the workers present: name and load in turn.

KEYS: workers, loads. ARGV: milliseconds for which a worker counts as present.
"""

BEGIN_SESSION = """
local last = tonumber(redis.call('HGET', KEYS[1], 'last') or '0')
local session = string.format('%.0f', math.max(tonumber(ARGV[1]), last + 1))
redis.call('HSET', KEYS[1], 'last', session, 'revision', ARGV[2], 'first', ARGV[3],
    'began', ARGV[4], 'uptime', ARGV[5], 'machine', ARGV[6])
redis.call('HDEL', KEYS[1], 'ended')
return session
"""
"""Return a new session number: the time, or the last number plus one where the clock went back.

KEYS: session. ARGV: now (ms), revision of the camera, which of the file's frames is the session's
first, when the file's time began (s), the same by a monotonic clock ('': unknown), and whose.
"""

END_SESSION = """
if redis.call('HGET', KEYS[1], 'last') == ARGV[1] then
    redis.call('HSET', KEYS[1], 'ended', ARGV[2])
end
return 1
"""
"""Record that a file was read to its end, unless a later session has begun.

KEYS: session. ARGV: session number, number of its frames.
"""

SAVE_SNAPSHOT = """
local epoch, cursor = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'cursor'))
if tonumber(ARGV[1]) < tonumber(epoch or '0') then return 0 end
local s1, q1 = string.match(cursor or '0-0', '(%d+)-(%d+)')
local s2, q2 = string.match(ARGV[2], '(%d+)-(%d+)')
s1, q1, s2, q2 = tonumber(s1), tonumber(q1), tonumber(s2), tonumber(q2)
if s2 < s1 or (s2 == s1 and q2 < q1) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'cursor', ARGV[2], 'state', ARGV[3])
return 1
"""
"""Save a snapshot. Returns 0 for a former owner's epoch or an older cursor than the stored one.

KEYS: snapshot. ARGV: epoch, cursor, state.
"""

ADD_CAMERA = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 0 end
if ARGV[3] ~= '' and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return -1 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
"""Add a camera.

KEYS: cameras.
ARGV: id, record, how many there may be ('': any number).
Returns 0 where the id is taken, -1 where there are that many.
"""

WRITE_USER = """
local now = redis.call('HGET', KEYS[1], ARGV[1])
if not now then return 0 end
if ARGV[2] ~= '' and now ~= ARGV[2] then return -1 end
if ARGV[4] == '1' and ARGV[5] == '0' then
    local admins, others = 0, 0
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
        if all[i] ~= ARGV[1] then
            others = others + 1
            local ok, user = pcall(cjson.decode, all[i + 1])
            if ok and type(user) == 'table' and user['role'] == 'admin' then admins = admins + 1 end
        end
    end
    if admins == 0 and (others > 0 or ARGV[3] ~= '') then return -2 end
end
if ARGV[3] == '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
else
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
"""
"""Replace or remove a user.

KEYS: users.
ARGV: name, the record as it was ('': any), the new one ('': none), '1' where an admin must be left,
'1' where the new one is an admin.
Returns 0 where there is no such user, -1 where it is another record, -2 where no admin is left.
"""

REPLACE_CAMERA = """
local function same(found, value)
    if found == nil then found = cjson.null end
    if type(found) ~= 'table' or type(value) ~= 'table' then return found == value end
    if #found ~= #value then return false end
    for name, part in pairs(value) do
        if not same(found[name], part) then return false end
    end
    return true
end
local now = redis.call('HGET', KEYS[1], ARGV[1])
if not now then return 0 end
local stored, expected = cjson.decode(now), cjson.decode(ARGV[4])
if stored['revision'] ~= tonumber(ARGV[3]) then return 0 end
stored['alert'] = stored['alert'] or {}
for name, part in pairs(expected) do
    if not same(stored[name], part) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
"""Replace a camera. Returns 0 where the stored camera is another than the expected one.

KEYS: cameras. ARGV: id, camera, and of the camera that it replaces: revision, and the fields that
change without it, as JSON.
"""

TRY_WRITE = """
redis.call('SET', KEYS[1], '')
return redis.call('DEL', KEYS[1])
"""
"""Fail where a write would: on a replica, without memory, disk or permission. KEYS: probe."""

RESEAL_CAMERA = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
"""Write a camera's record anew, as it was. KEYS: cameras. ARGV: id, record as read, new record."""

SAVE_ALERTING = """
local function logged(event, text)
    for _, row in ipairs(redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 16)) do
        if row[2][2] == event and row[2][4] == text then return true end
    end
    return false
end
local function over(event, id)
    if redis.call('HEXISTS', KEYS[2], id) == 0 then return false end
    return event == 'new' or redis.call('SISMEMBER', KEYS[3], id) == 0
end
for at, kind in ipairs({'string', 'hash', 'set', 'zset', 'stream', 'string', 'string', 'hash'}) do
    local found = redis.call('TYPE', KEYS[at]).ok
    if found ~= 'none' and found ~= kind then
        return redis.error_reply('WRONGTYPE ' .. KEYS[at] .. ' is a ' .. found)
    end
end
for at = 6, 7 do
    if not string.match(redis.call('GET', KEYS[at]) or '0', '^%d+$') then
        return redis.error_reply('WRONGTYPE ' .. KEYS[at] .. ' is no number')
    end
end
if tonumber(ARGV[3]) < tonumber(redis.call('GET', KEYS[7]) or '0') then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
for at = 4, #ARGV, 8 do
    local id, state, opened_at, regions, _, event, _, text = unpack(ARGV, at, at + 7)
    if not over(event, id) and not logged(event, text) then
        redis.call('HSET', KEYS[2], id, text)
        redis.call(state == 'open' and 'SADD' or 'SREM', KEYS[3], id)
        redis.call('ZADD', KEYS[4], opened_at, id)
        redis.call('XADD', KEYS[5], 'MAXLEN', ARGV[2], '*', unpack(ARGV, at + 4, at + 7))
        if regions ~= '' then redis.call('HSET', KEYS[8], id, regions) end
        if event == 'new' then redis.call('INCR', KEYS[6]) end
    end
end
return 1
"""
"""Save the alerting state with the alert events of the step. Returns 0 in a later epoch.

KEYS: alerting state, alerts, open alerts, alerts by time, alert log, number of alerts opened,
epoch, regions.
ARGV: state, length of the log, epoch, then of each event: the alert's id, state and opening time,
its regions ('': they stay), and its fields in the log ('event', its name, 'alert', the text).
Repeated (the answer was lost, or scores are replayed) it changes nothing: an alert is new once, its
end is its last event, and an update is left out where it is among the newest entries of the log.
A key of another type is refused before anything is written.
"""

DROP_ALERTS = """
local dropped = {}
for _, id in ipairs(ARGV) do
    if redis.call('SISMEMBER', KEYS[5], id) == 0 then
        redis.call('HDEL', KEYS[1], id)
        redis.call('ZREM', KEYS[2], id)
        redis.call('SREM', KEYS[3], id)
        redis.call('HDEL', KEYS[4], id)
        redis.call('HDEL', KEYS[6], id)
        redis.call('HDEL', KEYS[7], id)
        dropped[#dropped + 1] = id
    end
end
return dropped
"""
"""Remove alerts but kept ones, and return their ids.

KEYS: alerts, alerts by time, open alerts, answers, kept alerts, clips, regions. ARGV: ids.
"""

SAVE_ANSWER = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then return -1 end
if ARGV[4] == '1' and redis.call('SISMEMBER', KEYS[3], ARGV[1]) == 0
    and redis.call('SCARD', KEYS[3]) >= tonumber(ARGV[5]) then return -2 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call(ARGV[4] == '1' and 'SADD' or 'SREM', KEYS[3], ARGV[1])
return 1
"""
"""Save an answer to an alert.

KEYS: alerts, answers, kept alerts. ARGV: alert, its answer before ('': none), its answer, whether
it is kept, how many may be.
Returns 0 where the alert is gone, -1 where its answer has changed, -2 where so many are kept.
"""

SET_ASIDE = """
local kind, by, field, value, first_field, first = unpack(ARGV)
local found = redis.call('TYPE', KEYS[1]).ok
if found == 'none' then return '' end
if found == kind then
    local now = ''
    if found == 'hash' then now = redis.call('HGET', KEYS[1], field) or '' end
    if found == 'string' then now = redis.call('GET', KEYS[1]) end
    if by == 'type' or now ~= value then return '' end
end
if first ~= '' and found == 'hash' and field ~= first_field then
    local kept = redis.call('HGET', KEYS[1], first_field) or ''
    if string.match(kept, '^%d+$') then first = kept end
end
redis.call('RENAME', KEYS[1], KEYS[2])
if first ~= '' and kind == 'hash' then redis.call('HSET', KEYS[1], first_field, first) end
if first ~= '' and kind == 'string' then redis.call('SET', KEYS[1], first) end
return found
"""
"""Rename a key, and return its type; '' where it is right by now, or gone.

KEYS: the key, its new name. ARGV: the type that it should have; whether its 'type' is wrong or a
'value'; which field, and its value; the field and the value with which it begins anew ('': it
begins empty). A number in that field that can be read is kept.
"""

ADD_CAMERA_EVENT = """
for _, row in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 64)) do
    if row[2][2] == ARGV[3] and row[2][4] == ARGV[5] then return 0 end
end
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', unpack(ARGV, 2))
return 1
"""
"""Append a camera event, unless the newest entries hold it: a new owner replays frames.

KEYS: events. ARGV: events kept, then the event's fields: 'kind', its kind, 'frame', its frame, …
"""

NOTE_PEAKS = """
for at = 2, #ARGV, 3 do
    local day = redis.call('HGET', KEYS[1], ARGV[at])
    if not day or #day ~= 1440 then day = string.rep('\\0', 1440) end
    local minute, level = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    if level > string.byte(day, minute + 1) then
        day = string.sub(day, 1, minute) .. string.char(level) .. string.sub(day, minute + 2)
        redis.call('HSET', KEYS[1], ARGV[at], day)
    end
end
local days = redis.call('HKEYS', KEYS[1])
table.sort(days, function(a, b) return (tonumber(a) or 0) > (tonumber(b) or 0) end)
for at = tonumber(ARGV[1]) + 1, #days do redis.call('HDEL', KEYS[1], days[at]) end
return 1
"""
"""Raise the peaks of minutes; of too many days, drop the oldest.

KEYS: history. ARGV: days kept, then for each minute its day, its number in the day, and its byte.
"""

ADD_JOB = """
local active = redis.call('HGET', KEYS[1], 'active')
if active and redis.call('HEXISTS', KEYS[1], active) == 1 then return -tonumber(active) end
local number = redis.call('HINCRBY', KEYS[1], 'last', 1)
redis.call('HSET', KEYS[1], number, ARGV[1], 'active', number)
redis.call('HDEL', KEYS[1], number - tonumber(ARGV[2]))
return number
"""
"""Add a job and return its number; of a camera with an active one, minus the number of that.

KEYS: jobs. ARGV: job, jobs kept.
"""

SAVE_JOB = """
local now = redis.call('HGET', KEYS[1], ARGV[1])
if not now or cjson.decode(now)['state'] ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[4] == '0' and redis.call('HGET', KEYS[1], 'active') == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'active')
end
return 1
"""
"""Replace a job. Returns 0 where it is gone or in another state: cancelled, for instance.

KEYS: jobs. ARGV: number, job, state that it is expected in, whether it is active now.
"""

BEGIN_ANSWER = """
local function drop(names)
    for _, name in ipairs(names) do
        redis.call('HDEL', KEYS[1], name)
        redis.call('ZREM', KEYS[2], name)
    end
    return #names
end
local is_indexed = redis.call('EXISTS', KEYS[2]) == 1
if redis.call('HLEN', KEYS[1]) > 0 and not is_indexed then redis.call('DEL', KEYS[1]) end
drop(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[3]))
local former = redis.call('HGET', KEYS[1], ARGV[1])
if former then return former end
local dropped = 0
local excess = redis.call('ZCARD', KEYS[2]) + 1 - tonumber(ARGV[5])
if excess > 0 then
    dropped = drop(
        redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[4], '+inf', 'LIMIT', 0, excess))
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
return dropped
"""
"""Return what is kept of a request, or note that it runs and return how many were dropped for it.

KEYS: answers, index by expiry. ARGV: the request, the note, now (s), when the note expires (s),
how many are kept. Notes of requests that run are not dropped. Without the index (it was set aside),
nothing would ever remove the answers: they go.
"""

END_ANSWER = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('ZREM', KEYS[2], ARGV[1])
else
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
    redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
end
return 1
"""
"""Put an answer in the place of the note that its request runs.

KEYS: answers, index by expiry. ARGV: the request, the note, the answer ('': forget the request),
when it expires (s).
"""
