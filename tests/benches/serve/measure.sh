#!/usr/bin/env bash
# The figures of docs/benchmarks.md, A live pipeline, the load generator included; everything on loopback, in one run.
#   KINDRED=target/release/kindred LOAD=./load tests/benches/serve/measure.sh [nginx pixel batch profile ...]
# Needs wrk, nginx, redis-benchmark with a Redis, and the program `load` beside this folder.
set -euo pipefail
from=$(cd "$(dirname "$0")" && pwd)
kindred=$(realpath "${KINDRED:-kindred}") load=$(realpath "${LOAD:-load}")
work=$(mktemp -d)
cp "$from"/{pipeline.toml,nginx.conf} "$work"
cd "$work"
server=
ends() { [ -z "$server" ] || { kill "$server"; wait "$server" || true; server=; }; }
finish() { ends; [ ! -f nginx.pid ] || command nginx -p "$work" -c nginx.conf -s quit; rm -rf "$work"; }
trap finish EXIT
serve() {
  "$kindred" serve pipeline.toml 2>server.log & server=$!
  for _ in $(seq 100); do curl -sf -o /dev/null http://127.0.0.1:8181/readyz && return; sleep 0.1; done
  cat server.log; exit 1
}
nginx() { [ -f nginx.pid ] || command nginx -p "$work" -c nginx.conf; }
told() { grep -E 'Latency|50%|99%|Requests/sec|Non-2xx|Socket' || true; }

[ $# -gt 0 ] || set -- nginx nginx-alike pixel batch half visible profile redis
for what; do
  printf '\n== %s\n' "$what"
  case $what in
    nginx) nginx; wrk -t1 -c64 -d6s --latency http://127.0.0.1:8090/pixel.gif | told ;;
    # The same requests as the collector gets, which cost the load generator more.
    nginx-alike) nginx; wrk -t1 -c64 -d6s --latency -s "$from/pixel.lua" http://127.0.0.1:8090 | told ;;
    pixel) [ -n "$server" ] || serve; wrk -t1 -c64 -d8s --latency -s "$from/pixel.lua" http://127.0.0.1:8080 | told ;;
    batch) [ -n "$server" ] || serve; wrk -t1 -c16 -d8s --latency -s "$from/batch.lua" http://127.0.0.1:8080 | told ;;
    half) ends; rm -rf store spool; serve; "$load" pixel "${HALF:-20000}" 8 32 ;;
    visible) ends; rm -rf store spool; serve; "$load" visible 10000 20 ;;
    profile)
      [ -n "$server" ] || serve
      curl -s -o /dev/null "http://127.0.0.1:8080/pixel.gif?k=wk_app_test&a=a77"
      # What came before is caught up with first.
      until curl -s http://127.0.0.1:8181/metrics | grep -q '^kindred_source_backlog_rows 0'; do sleep 1; done; sleep 2
      wrk -t1 -c64 -d6s --latency -H 'Authorization: Bearer 0123456789abcdef' http://127.0.0.1:8181/v1/profiles/anonymous:a77 | told ;;
    redis) redis-benchmark -t get -c 64 -n 300000 --csv | tail -1 ;;
    *) printf 'unknown: %s\n' "$what"; exit 2 ;;
  esac
done
