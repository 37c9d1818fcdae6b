"""A client of token-relay. Needs Python 3.6."""

import json
import os
import threading
import time
import urllib.error
import urllib.request


class Relay:
    """The access_token from token-relay: cached for a minute, reported when WeChat refuses it."""

    REFUSED = (40001, 40014, 42001)

    def __init__(self, url, key):
        self.url, self.key, self.lock = url, key, threading.Lock()
        self.cached, self.ask_again_at, self.dies_at = None, 0.0, 0.0

    def call(self, api):
        """Calls api(token), which returns WeChat's JSON; once more if WeChat refuses the token."""
        token = self.token()
        reply = api(token)
        if reply.get("errcode") in self.REFUSED:
            reply = api(self.report(token))
        return reply

    def token(self):
        with self.lock:
            if time.monotonic() >= self.ask_again_at:
                try:
                    self._ask("/token", timeout=5)
                except urllib.error.HTTPError:  # 503: there is no token now, the one in hand is dead too
                    self.dies_at = 0.0
                    raise
                except OSError:  # the relay is away: the token in hand is good for its expires_in
                    if time.monotonic() >= self.dies_at:
                        raise
                    self.ask_again_at = time.monotonic() + 2
            return self.cached

    def report(self, bad):
        with self.lock:
            if self.cached == bad:  # else another thread has reported it
                try:
                    self._ask("/token/refresh", timeout=15, body={"access_token": bad})
                except OSError:  # 429: checked just now; 503: no verdict, or no new token
                    self.ask_again_at = 0.0
        return self.token()  # asks, if the report got none: is there a token to retry with?

    def _ask(self, path, timeout, body=None):
        asked_at = time.monotonic()
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": "Bearer " + self.key})
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            answer = json.load(answer)
        self.cached = answer["access_token"]
        self.ask_again_at = asked_at + min(60, answer["expires_in"])
        self.dies_at = asked_at + answer["expires_in"]


WECHAT = os.environ.get("WECHAT_URL", "https://api.weixin.qq.com")
relay = Relay(os.environ.get("RELAY_URL", "http://127.0.0.1:8080"), os.environ["RELAY_KEY"])


def callback_ips(token):
    url = WECHAT + "/cgi-bin/getcallbackip?access_token=" + token
    with urllib.request.urlopen(url, timeout=10) as reply:
        return json.load(reply)


print(relay.call(callback_ips))
