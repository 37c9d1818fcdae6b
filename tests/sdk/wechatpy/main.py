"""Hands out wechatpy's tokens: a line in is a command, a line out its answer."""

import json
import os
import sys
from importlib.metadata import version

from requests.adapters import HTTPAdapter
from wechatpy import WeChatClient

WECHAT = "https://api.weixin.qq.com"
RELAY = os.environ["RELAY_URL"]


class RelayAdapter(HTTPAdapter):
    def send(self, request, **kwargs):
        request.url = request.url.replace(WECHAT, RELAY, 1)
        return super().send(request, **kwargs)


client = WeChatClient(os.environ["APPID"], os.environ["RELAY_KEY"])
client._http.mount(WECHAT, RelayAdapter())

COMMANDS = {
    "token": lambda: client.access_token,
    # What wechatpy does when WeChat refuses a token.
    "refused": lambda: client.fetch_access_token()["access_token"],
}

print(json.dumps({"sdk": "wechatpy " + version("wechatpy")}), flush=True)
for line in sys.stdin:
    try:
        answer = {"token": COMMANDS[line.strip()]()}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
