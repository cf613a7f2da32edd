math.randomseed(os.time())
local n, prefix = 0, tostring(math.random(1, 1e9))
local tail = " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
request = function()
  n = n + 1
  return "GET /pixel.gif?k=wk_app_test&id=" .. prefix .. "-" .. n .. "&a=a" .. math.random(1, 200000) .. tail
end
