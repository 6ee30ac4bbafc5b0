#!/bin/sh
# Runs for every event, and again later when it fails. The body is on stdin, the rest in the environment.
# Exit status 0: done. 65: this event can never work. Any other: try again later.
# A retry runs the whole script again: what it does must bear being done twice.
set -e

bytes=$(wc -c)
echo "$HOOKBOX_SOURCE sent $HOOKBOX_EVENT_TYPE with $((bytes)) bytes: event $HOOKBOX_EVENT_ID, attempt $HOOKBOX_ATTEMPT"
