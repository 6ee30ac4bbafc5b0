#!/bin/sh
# Deploys what was pushed to a branch on GitHub or GitLab. By hand:
#
#   hookbox send --print github --type push | handlers/deploy-on-push.sh
#
# DEPLOY_BRANCH    the branch that is deployed: main unless set
# DEPLOY_COMMAND   a shell line that deploys; it finds BRANCH and COMMIT in its environment
#
# hookbox hands both on when the handler names them: env = ["DEPLOY_BRANCH", "DEPLOY_COMMAND"]
# One at a time: concurrency = 1
set -eu

wanted=${DEPLOY_BRANCH:-main}
body=$(cat)

# The first "NAME": "VALUE" in the body. Quotes within texts are escaped there, so no commit message can pose as one.
first() {
	printf '%s\n' "$body" | grep -o "\"$1\"[[:space:]]*:[[:space:]]*\"[^\"\\\\]*\"" | head -n 1 | cut -d '"' -f 4
}

ref=$(first ref)
COMMIT=$(first after)
BRANCH=${ref#refs/heads/}

if [ "$ref" != "refs/heads/$wanted" ]; then
	echo "${ref:-no branch} is not refs/heads/$wanted: nothing to deploy"
	exit 0
fi
case $COMMIT in
*[!0]*) ;;
*) # all zeros, or none
	echo "$BRANCH was deleted: nothing to deploy"
	exit 0
	;;
esac

export BRANCH COMMIT
echo "deploying $BRANCH at $COMMIT, attempt ${HOOKBOX_ATTEMPT:-1}"
# Its status is this handler's: with anything but 0 it runs again later.
exec sh -c "${DEPLOY_COMMAND:-echo \"DEPLOY_COMMAND is not set: this is where it would run\"}"
