#!/bin/sh
# Deploys a branch after a push to GitHub or GitLab. By hand:
#
#   hookbox send --print github --type push | handlers/deploy-on-push.sh
#
# DEPLOY_BRANCH    the branch to deploy, main by default
# DEPLOY_COMMAND   a shell command that deploys; BRANCH and COMMIT are in its environment
#
# hookbox passes both on if the handler names them: env = ["DEPLOY_BRANCH", "DEPLOY_COMMAND"]
# One at a time: concurrency = 1
set -eu

wanted=${DEPLOY_BRANCH:-main}
body=$(cat)

# Decodes a form's value: `+` and `%XX`.
decode() {
	LC_ALL=C awk '
		BEGIN { for (i = 1; i < 256; i++) byte[sprintf("%02X", i)] = sprintf("%c", i) }
		{
			gsub(/\+/, " ")
			n = split($0, piece, "%")
			printf "%s", piece[1]
			for (i = 2; i <= n; i++) printf "%s%s", byte[toupper(substr(piece[i], 1, 2))], substr(piece[i], 3)
			print ""
		}'
}

# The first character, after a byte order mark and white space.
begins() { printf '%s' "$body" | LC_ALL=C tr -d '[:space:]\357\273\277' | LC_ALL=C cut -c 1; }

# GitHub's API creates webhooks that send a form: the JSON is in its field `payload`.
if [ "$(begins)" != "{" ]; then
	body=$(printf '%s\n' "$body" | tr '&' '\n' | sed -n 's/^payload=//p' | decode)
fi
if [ "$(begins)" != "{" ]; then
	echo "the body is neither JSON nor a form with JSON in \`payload\`: cannot tell what to deploy" >&2
	exit 1
fi

# Prints the first "NAME": "VALUE" in the body. Quotes in texts are escaped, so a commit message cannot pose as one.
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
*) # all zeros, or missing
	echo "$BRANCH was deleted: nothing to deploy"
	exit 0
	;;
esac

export BRANCH COMMIT
echo "deploying $BRANCH at $COMMIT, attempt ${HOOKBOX_ATTEMPT:-1}"
# Its exit status is that of this handler. hookbox retries unless it is 0.
exec sh -c "${DEPLOY_COMMAND:-echo \"DEPLOY_COMMAND is not set: this is where it would run\"}"
