#!/bin/sh
# Runs every publisher of this folder whose interpreter is installed against a running efir and reads its message back.
# Each publishes the same message twice under one key: the log must hold it exactly once.
# usage: run.sh BASE_URL
set -u
[ $# -eq 1 ] || { sed -n '4s/^# //p' "$0" >&2; exit 2; }
base_url=${1%/}
folder=$(dirname "$0")
text='Привет, "мир" \ 世界 👋'
expected='{"text":"Привет, \"мир\" \\ 世界 👋"}'
failed=0

# What a channel holds, by whatever can fetch a URL here.
read_back() {
  url="$base_url/channels/$1?after=start"
  if command -v curl >/dev/null; then
    curl --silent --show-error --max-time 10 "$url"
  elif command -v node >/dev/null; then
    node -e 'fetch(process.argv[1]).then(answer => answer.text()).then(console.log)' "$url"
  else
    python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' "$url"
  fi
}

# fail NAME REASON
fail() {
  printf 'FAILED %s: %s\n' "$1" "$2"
  failed=1
}

# check NAME INTERPRETER COMMAND…: publishes twice with one key, then reads back.
check() {
  name=$1 interpreter=$2
  shift 2
  command -v "$interpreter" >/dev/null || { printf 'not run %s: %s is not installed\n' "$name" "$interpreter"; return; }
  channel=backends-$name-$(date +%s)-$$
  first=$("$@" "$base_url" "$channel" "$text" "key-$$") || { fail "$name" 'the first publish failed'; return; }
  second=$("$@" "$base_url" "$channel" "$text" "key-$$") || { fail "$name" 'the retry failed'; return; }
  [ -n "$first" ] || { fail "$name" 'no position was printed'; return; }
  [ "$first" = "$second" ] || { fail "$name" "the retry stands at $second, not at $first"; return; }
  batch=$(read_back "$channel") || { fail "$name" 'reading back failed'; return; }
  case $batch in
    *"\"position\":\"$first\""*"\"data\":$expected"*) ;;
    *) fail "$name" "read back $batch"; return ;;
  esac
  count=$(printf '%s\n' "$batch" | awk -F '"data":' '{ count += NF - 1 } END { print count }')
  [ "$count" = 1 ] || { fail "$name" "$count messages were kept, not 1"; return; }
  printf 'ok %s %s\n' "$name" "$first"
}

check python python3 python3 "$folder/publish.py"
check node node node "$folder/publish.mjs"
check curl curl sh "$folder/publish.sh"
check go go env GOTOOLCHAIN=local go run "$folder/publish.go"
check php php php "$folder/publish.php"
exit "$failed"
