// A client of token-relay. Needs Node.js 18.
class Relay {
  // The access_token from token-relay: cached for a minute, reported when WeChat refuses it.
  static refused = [40001, 40014, 42001];
  cached = null;
  askAgainAt = 0;
  diesAt = 0;
  last = Promise.resolve();
  reading = null;

  constructor(url, key) {
    this.url = url;
    this.key = key;
  }

  // Calls api(token), which resolves to WeChat's JSON; once more if WeChat refuses the token.
  async call(api) {
    const token = await this.token();
    const reply = await api(token);
    return Relay.refused.includes(reply.errcode) ? api(await this.report(token)) : reply;
  }

  // Callers that come during a read share its answer.
  token() {
    this.reading ??= this.alone(() => this.read()).finally(() => { this.reading = null; });
    return this.reading;
  }

  async report(bad) {
    await this.alone(async () => {
      if (this.cached !== bad) return; // it was reported meanwhile
      try {
        await this.ask("/token/refresh", 15_000, JSON.stringify({ access_token: bad }));
      } catch { // 429: checked just now; 503: no verdict, or no new token
        this.askAgainAt = 0;
      }
    });
    return this.token(); // asks, if the report got none: is there a token to retry with?
  }

  // One request at a time, each after the one before it.
  alone(task) {
    const done = this.last.then(task);
    this.last = done.catch(() => {});
    return done;
  }

  async read() {
    if (performance.now() >= this.askAgainAt) {
      try {
        await this.ask("/token", 5_000);
      } catch (error) {
        if (error.status) this.diesAt = 0; // 503: there is no token now, the one in hand is dead too
        if (performance.now() >= this.diesAt) throw error;
        // The relay is away: the token in hand is good for its expires_in.
        this.askAgainAt = performance.now() + 2_000;
      }
    }
    return this.cached;
  }

  async ask(path, timeout, body) {
    const askedAt = performance.now();
    const answer = await fetch(this.url + path, {
      method: body ? "POST" : "GET",
      headers: { Authorization: `Bearer ${this.key}` },
      body,
      signal: AbortSignal.timeout(timeout),
    });
    if (!answer.ok) {
      const { status } = answer;
      throw Object.assign(new Error(`token-relay: ${status} ${await answer.text()}`), { status });
    }
    const { access_token, expires_in } = await answer.json();
    this.cached = access_token;
    this.askAgainAt = askedAt + Math.min(60, expires_in) * 1000;
    this.diesAt = askedAt + expires_in * 1000;
  }
}

const wechat = process.env.WECHAT_URL ?? "https://api.weixin.qq.com";
const relay = new Relay(process.env.RELAY_URL ?? "http://127.0.0.1:8080", process.env.RELAY_KEY);

const callbackIps = async (token) =>
  (await fetch(`${wechat}/cgi-bin/getcallbackip?access_token=${token}`)).json();

console.log(await relay.call(callbackIps));
