#!/bin/sh
# A worker: a long-running process that handles one job after the other. Needs nothing but sh, sed and cut.
#
# Reads each job as a line of JSON from stdin and answers with a line of JSON on stdout. Logs go to stderr.
#
#     [handlers.greet]
#     mode = "worker"
#     command = ["handlers/worker.sh"]
#
# By hand: echo '{"id":1,"attempt":1,"source":"github","type":"push","headers":{},"body":"{}"}' | handlers/worker.sh
#
# The order of the names is fixed: `id` first, `headers` and `body` last. So sed can find a field. The body remains escaped
# as in the line: to parse JSON, use jq or another language.

# Prints a text field of the job. Fields in the body are not considered.
field() {
    printf '%s\n' "${line%%\"headers\":*}" | sed -n "s/.*\"$1\":\"\(\([^\"\\\\]\|\\\\.\)*\)\".*/\1/p"
}

while IFS= read -r line; do
    case $line in
    '{"hookbox":'*) continue ;;
    esac
    id=$(printf '%s\n' "$line" | cut -d, -f1 | sed 's/[^0-9]//g')
    type=$(field type)
    echo "$type from $(field source), attempt of $(field idempotency_key)" >&2
    # Your work. It must use neither stdin nor stdout, which belong to the protocol.
    case $type in
    busy) answer='"retry_after":"5m"' ;;
    nonsense) answer='"dead":"this can never work"' ;;
    failing) answer='"error":"the database is down"' ;;
    *) if date >&2 </dev/null; then answer='"ok":true'; else answer='"error":"date failed"'; fi ;;
    esac
    echo "{\"id\":$id,$answer}"
done
