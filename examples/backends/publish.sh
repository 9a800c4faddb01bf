#!/bin/sh
# Publishes one message to efir with curl and prints its position.
# usage: publish.sh BASE_URL CHANNEL TEXT [KEY]
set -eu
[ $# -ge 3 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
key=${4:-$(date +%s)-$$}
attempts=5

# Every byte of the name as %XX, the text as a JSON string.
channel=$(printf %s "$2" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%')
url=${1%/}/channels/$channel
tab=$(printf '\t')
text=$(printf %s "$3" | sed -e 's/[\\"]/\\&/g' -e "s/$tab/\\\\t/g" | awk 'NR > 1 { printf "\\n" } { printf "%s", $0 }')

# The same key goes with every attempt, so a retry never makes a second message.
attempt=1
while :; do
  # The body, then the status on a line of its own: 000 when there was no answer.
  answer=$(printf '{"text":"%s"}' "$text" | curl --silent --max-time 10 --write-out '\n%{http_code}' --data-binary @- \
    --header 'Content-Type: application/json' --header "Idempotency-Key: $key" "$url") || true
  status=$(printf %s "$answer" | tail -n 1)
  case $status in
    200) printf '%s\n' "$answer" | sed -n 's/.*"position":"\([^"]*\)".*/\1/p'; exit 0 ;;
    503 | 000) ;;
    *) printf 'efir refused: %s\n' "$answer" >&2; exit 1 ;;
  esac
  [ "$attempt" -lt "$attempts" ] || { printf 'no success after %s attempts: %s\n' "$attempts" "$answer" >&2; exit 1; }
  sleep "$attempt"
  attempt=$((attempt + 1))
done
