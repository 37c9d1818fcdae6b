// Hands out co-wechat-api's tokens: a line in is a command, a line out its answer.
'use strict';

const readline = require('readline');
const WechatAPI = require('co-wechat-api');
const { version } = require('co-wechat-api/package.json');

const api = new WechatAPI(process.env.APPID, process.env.RELAY_KEY);
api.prefix = `${process.env.RELAY_URL}/cgi-bin/`;

const commands = {
  token: () => api.ensureAccessToken(),
  // What co-wechat-api does when WeChat refuses a token.
  refused: async () => {
    await api.saveToken(null);
    return api.getAccessToken();
  },
};

async function main() {
  console.log(JSON.stringify({ sdk: `co-wechat-api ${version}` }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answer = await commands[line]().then(
      (token) => ({ token: token.accessToken }),
      (error) => ({ error: String(error) }),
    );
    console.log(JSON.stringify(answer));
  }
}

main();
