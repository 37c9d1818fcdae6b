"""Uses wechatpy: a line in is a command, a line out its answer."""

import json
import os
import sys
from importlib.metadata import version

from requests.adapters import HTTPAdapter
from wechatpy import WeChatClient

WECHAT = "https://api.weixin.qq.com"
# None: the name of WeChat's host leads to the relay, and nothing is changed.
RELAY = os.environ.get("RELAY_URL")


class RelayAdapter(HTTPAdapter):
    def send(self, request, **kwargs):
        request.url = request.url.replace(WECHAT, RELAY, 1)
        return super().send(request, **kwargs)


client = WeChatClient(os.environ["APPID"], os.environ["RELAY_KEY"])
if RELAY:
    client._http.mount(WECHAT, RelayAdapter())


def token():
    return {"token": client.access_token}


def refused():
    """What wechatpy does when WeChat refuses a token."""
    return {"token": client.fetch_access_token()["access_token"]}


def use(code, openid, file):
    user = client.wxa.code_to_session(code)
    client.message.send_text(user["openid"], "hello")
    with open(file, "rb") as content:
        media = client.media.upload("image", content)
    with open(file + ".back", "wb") as back:
        back.write(client.media.download(media["media_id"]).content)
    return {"openid": user["openid"], "media_id": media["media_id"]}


COMMANDS = {"token": token, "refused": refused, "use": use}

print(json.dumps({"sdk": "wechatpy " + version("wechatpy")}), flush=True)
for line in sys.stdin:
    command, *arguments = line.split()
    try:
        answer = COMMANDS[command](*arguments)
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
