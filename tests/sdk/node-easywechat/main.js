// Hands out node-easywechat's tokens: a line in is a command, a line out its answer.
'use strict';

const fs = require('fs');
const readline = require('readline');
const { OfficialAccount } = require('node-easywechat');
const { version } = require('node-easywechat/package.json');

const stable = process.argv[2] === 'stable';
// The cache outlives the process; each run begins with an empty one.
const cache = `cache-${process.argv[2]}`;
fs.rmSync(cache, { recursive: true, force: true });
const app = new OfficialAccount({
  app_id: process.env.APPID,
  secret: process.env.RELAY_KEY,
  use_stable_access_token: stable,
  http: { baseURL: process.env.RELAY_URL },
  file_cache: { path: cache },
});
const accessToken = app.getAccessToken();

const commands = {
  token: () => accessToken.getToken(),
  // The SDK does nothing when WeChat refuses a token: its caller has to.
  refused: () => (stable ? accessToken.getStableAccessToken(true) : accessToken.getAccessToken()),
};

async function main() {
  console.log(JSON.stringify({ sdk: `node-easywechat ${version}` }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answer = await commands[line]().then(
      (token) => ({ token }),
      (error) => ({ error: String(error) }),
    );
    console.log(JSON.stringify(answer));
  }
}

main();
