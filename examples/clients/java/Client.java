// A client of token-relay. Needs Java 11; run it with: java Client.java
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.regex.Pattern;

/** The access_token from token-relay: cached for a minute, reported when WeChat refuses it. */
public class Client {
    interface Api { String call(String token) throws IOException, InterruptedException; }

    /** The relay answered, but without a token. */
    static class NoToken extends IOException { NoToken(String message) { super(message); } }

    // Use the JSON library of your project; these keep the example free of one.
    static final Pattern REFUSED = Pattern.compile("\"errcode\"\\s*:\\s*(40001|40014|42001)\\b");
    static final Pattern TOKEN = Pattern.compile("\"access_token\"\\s*:\\s*\"([^\"]+)\"");
    static final Pattern EXPIRES_IN = Pattern.compile("\"expires_in\"\\s*:\\s*(\\d+)");
    static final HttpClient HTTP = HttpClient.newHttpClient();

    final String url, key;
    String cached;
    long askAgainAt = System.nanoTime(), diesAt = askAgainAt;

    Client(String url, String key) { this.url = url; this.key = key; }

    /** Calls api with a token; once more if WeChat refuses it. */
    String call(Api api) throws IOException, InterruptedException {
        String token = token(), reply = api.call(token);
        return REFUSED.matcher(reply).find() ? api.call(report(token)) : reply;
    }

    synchronized String token() throws IOException, InterruptedException {
        if (System.nanoTime() - askAgainAt >= 0) {
            try {
                ask("/token", 5, null);
            } catch (NoToken e) { // 503: there is none now, the one in hand is dead too
                diesAt = System.nanoTime();
                throw e;
            } catch (IOException e) { // the relay is away: the token in hand is good for its expires_in
                if (System.nanoTime() - diesAt >= 0) throw e;
                askAgainAt = System.nanoTime() + 2_000_000_000L;
            }
        }
        return cached;
    }

    synchronized String report(String bad) throws IOException, InterruptedException {
        if (bad.equals(cached)) { // else another thread has reported it
            try {
                ask("/token/refresh", 15, "{\"access_token\":\"" + bad + "\"}");
            } catch (IOException e) { // 429: checked just now; 503: no verdict, or no new token
                askAgainAt = System.nanoTime();
            }
        }
        return token(); // asks, if the report got none: is there a token to retry with?
    }

    private void ask(String path, long timeout, String body) throws IOException, InterruptedException {
        long askedAt = System.nanoTime();
        var request = HttpRequest.newBuilder(URI.create(url + path)).timeout(Duration.ofSeconds(timeout))
            .header("Authorization", "Bearer " + key);
        if (body != null) request.POST(HttpRequest.BodyPublishers.ofString(body));
        var answer = HTTP.send(request.build(), BodyHandlers.ofString());
        var token = TOKEN.matcher(answer.body());
        var expiresIn = EXPIRES_IN.matcher(answer.body());
        if (answer.statusCode() != 200 || !token.find() || !expiresIn.find())
            throw new NoToken("token-relay: " + answer.statusCode() + " " + answer.body());
        long seconds = Long.parseLong(expiresIn.group(1));
        cached = token.group(1);
        askAgainAt = askedAt + Math.min(60, seconds) * 1_000_000_000L;
        diesAt = askedAt + seconds * 1_000_000_000L;
    }

    public static void main(String[] arguments) throws Exception {
        var env = System.getenv();
        var wechat = env.getOrDefault("WECHAT_URL", "https://api.weixin.qq.com");
        var relay = new Client(env.getOrDefault("RELAY_URL", "http://127.0.0.1:8080"), env.get("RELAY_KEY"));
        System.out.println(relay.call(token -> {
            var uri = URI.create(wechat + "/cgi-bin/getcallbackip?access_token=" + token);
            return HTTP.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString()).body();
        }));
    }
}
