#!/bin/sh
# A worker: stays running and handles one job after the other. Needs nothing but sh, sed and cut.
#
# Takes: a job as a line of JSON on stdin. Says: how it went, as a line of JSON on stdout; logs go to stderr.
#
#     [handlers.greet]
#     mode = "worker"
#     command = ["handlers/worker.sh"]
#
# By hand: echo '{"id":1,"attempt":1,"source":"github","type":"push","headers":{},"body":"{}"}' | handlers/worker.sh
#
# The names stand in one order, `id` first and `headers` and `body` last, so sed finds what it looks for. A body
# stays as it was written into the line, with its quotes and line ends escaped: to read JSON, use jq or another language.

# A text of the job by its name; what stands in the body cannot be mistaken for it.
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
    # Your work, with its output kept from stdout and no hand on stdin: both are for the conversation with hookbox.
    case $type in
    busy) answer='"retry_after":"5m"' ;;
    nonsense) answer='"dead":"this can never work"' ;;
    failing) answer='"error":"the database is down"' ;;
    *) if date >&2 </dev/null; then answer='"ok":true'; else answer='"error":"date failed"'; fi ;;
    esac
    echo "{\"id\":$id,$answer}"
done
