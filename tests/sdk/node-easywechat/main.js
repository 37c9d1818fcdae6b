// Uses node-easywechat: a line in is a command, a line out its answer.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { FormData, MiniApp, OfficialAccount } = require('node-easywechat');
const { version } = require('node-easywechat/package.json');

const stable = process.argv[2] === 'stable';
// The cache outlives the process; each run begins with an empty one.
const cache = `cache-${process.env.WAY}`;
fs.rmSync(cache, { recursive: true, force: true });
const config = {
  app_id: process.env.APPID,
  secret: process.env.RELAY_KEY,
  use_stable_access_token: stable,
  // Without it the name of WeChat's host leads to the relay, and nothing is changed.
  ...(process.env.RELAY_URL && { http: { baseURL: process.env.RELAY_URL } }),
  file_cache: { path: cache },
};
const app = new OfficialAccount(config);
const accessToken = app.getAccessToken();
const miniApp = new MiniApp(config);

const commands = {
  token: async () => ({ token: await accessToken.getToken() }),

  // The SDK does nothing when WeChat refuses a token: its caller has to.
  refused: async () => ({
    token: await (stable ? accessToken.getStableAccessToken(true) : accessToken.getAccessToken()),
  }),

  use: async (code, _, file) => {
    const { openid } = await miniApp.getUtils().codeToSession(code);
    const client = app.getClient();
    const message = { touser: openid, msgtype: 'text', text: { content: 'hello' } };
    const sent = await client.post('/cgi-bin/message/custom/send', { json: message });
    if (sent.isFailed()) throw new Error(sent.toString());
    const media = new FormData();
    media.append('media', fs.readFileSync(file), 'picture.jpg');
    const uploaded = await client.post('/cgi-bin/media/upload', { params: { type: 'image' }, formData: media });
    const { media_id } = uploaded.toObject();
    if (!media_id) throw new Error(uploaded.toString());
    const download = await client.get('/cgi-bin/media/get', { params: { media_id }, responseType: 'arraybuffer' });
    download.saveAs(`${file}.back`);
    return { openid, media_id };
  },
};

async function main() {
  console.log(JSON.stringify({ sdk: `node-easywechat ${version}` }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [command, ...words] = line.split(' ');
    const answer = await commands[command](...words).catch((error) => ({ error: String(error) }));
    console.log(JSON.stringify(answer));
  }
}

main();
