math.randomseed(os.time())
local n = 0
local prefix = tostring(math.random(1, 1e9))
local function id() n = n + 1; return prefix .. "-" .. n end
request = function()
  local t = {}
  for i = 1, 100 do
    t[i] = string.format('{"type":"track","event":"page_view","messageId":"%s","anonymousId":"a%d","properties":{"category":"coats","value":12.5},"context":{"page":{"url":"https://shop.example/coats/%d"}}}', id(), math.random(1, 200000), i)
  end
  return wrk.format("POST", "/v1/batch", {["content-type"]="application/json"}, '{"writeKey":"wk_app_test","batch":[' .. table.concat(t, ",") .. ']}')
end
