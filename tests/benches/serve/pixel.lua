local n = 0
local prefix = tostring(math.random(1, 1e9))
request = function()
  n = n + 1
  return wrk.format("GET", "/pixel.gif?k=wk_app_test&id=" .. prefix .. "-" .. n .. "&a=a" .. math.random(1, 200000))
end
