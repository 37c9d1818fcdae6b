// Uses co-wechat-api: a line in is a command, a line out its answer.
'use strict';

const fs = require('fs');
const readline = require('readline');
const WechatAPI = require('co-wechat-api');
const { version } = require('co-wechat-api/package.json');

const api = new WechatAPI(process.env.APPID, process.env.RELAY_KEY);
api.prefix = `${process.env.RELAY_URL}/cgi-bin/`;
api.snsPrefix = `${process.env.RELAY_URL}/sns/`;

const commands = {
  token: async () => ({ token: (await api.ensureAccessToken()).accessToken }),

  // What co-wechat-api does when WeChat refuses a token.
  refused: async () => {
    await api.saveToken(null);
    return { token: (await api.getAccessToken()).accessToken };
  },

  use: async (code, _, file) => {
    const { openid } = await api.code2Session(code);
    await api.sendText(openid, 'hello');
    const { media_id } = await api.uploadMedia(file, 'image');
    fs.writeFileSync(`${file}.back`, await api.getMedia(media_id));
    return { openid, media_id };
  },
};

async function main() {
  console.log(JSON.stringify({ sdk: `co-wechat-api ${version}` }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [command, ...words] = line.split(' ');
    const answer = await commands[command](...words).catch((error) => ({ error: String(error) }));
    console.log(JSON.stringify(answer));
  }
}

main();
