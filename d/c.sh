#!/usr/bin/env bash
set -euo pipefail
relay=${RELAY_URL:-http://127.0.0.1:8080}
wechat=${WECHAT_URL:-https://api.weixin.qq.com}

# The key and the token go by file descriptors: arguments can be read in the process list.
ask() {
  curl -fsS -H @<(echo "Authorization: Bearer $RELAY_KEY") "$relay$1" "${@:2}" |
    sed 's/.*"access_token":"\([^"]*\)".*/\1/'
}

callback_ips() { curl -fsS -K - <<<"url = \"$wechat/cgi-bin/getcallbackip?access_token=$1\""; }

token=$(ask /token)
reply=$(callback_ips "$token")
if grep -qE '"errcode": *(40001|40014|42001)\b' <<<"$reply"; then
  # No new token by the report, a 429 for example: the relay knows whether there is one.
  token=$(ask /token/refresh -d @- <<<"{\"access_token\":\"$token\"}" || ask /token)
  reply=$(callback_ips "$token")
fi
echo "$reply"
