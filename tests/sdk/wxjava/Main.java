// Hands out WxJava's tokens: a line in is a command, a line out its answer.

import cn.binarywang.wx.miniapp.api.WxMaService;
import cn.binarywang.wx.miniapp.api.impl.WxMaServiceImpl;
import cn.binarywang.wx.miniapp.config.impl.WxMaDefaultConfigImpl;
import com.google.gson.Gson;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.util.Map;
import java.util.Properties;
import me.chanjar.weixin.common.error.WxErrorException;
import me.chanjar.weixin.mp.api.WxMpService;
import me.chanjar.weixin.mp.api.impl.WxMpServiceImpl;
import me.chanjar.weixin.mp.config.WxMpHostConfig;
import me.chanjar.weixin.mp.config.impl.WxMpDefaultConfigImpl;

public class Main {
  private static final String APPID = System.getenv("APPID");
  private static final String RELAY_KEY = System.getenv("RELAY_KEY");
  private static final String RELAY_URL = System.getenv("RELAY_URL");

  /** What both services have: {@code true} is for a token that WeChat has refused. */
  private interface Tokens {
    String get(boolean force) throws WxErrorException;
  }

  public static void main(String[] arguments) throws IOException {
    boolean stable = arguments[1].equals("stable");
    Tokens tokens = arguments[0].equals("mp") ? officialAccount(stable) : miniProgram(stable);
    answer("sdk", "WxJava " + version());
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      try {
        answer("token", tokens.get(line.equals("refused")));
      } catch (WxErrorException | RuntimeException error) {
        answer("error", error.toString());
      }
    }
  }

  private static Tokens officialAccount(boolean stable) {
    WxMpDefaultConfigImpl config = new WxMpDefaultConfigImpl();
    config.setAppId(APPID);
    config.setSecret(RELAY_KEY);
    config.useStableAccessToken(stable);
    WxMpHostConfig hosts = new WxMpHostConfig();
    hosts.setApiHost(RELAY_URL);
    config.setHostConfig(hosts);
    WxMpService service = new WxMpServiceImpl();
    service.setWxMpConfigStorage(config);
    return service::getAccessToken;
  }

  private static Tokens miniProgram(boolean stable) {
    WxMaDefaultConfigImpl config = new WxMaDefaultConfigImpl();
    config.setAppid(APPID);
    config.setSecret(RELAY_KEY);
    config.useStableAccessToken(stable);
    config.setApiHostUrl(RELAY_URL);
    WxMaService service = new WxMaServiceImpl();
    service.setWxMaConfig(config);
    return service::getAccessToken;
  }

  private static String version() throws IOException {
    Properties properties = new Properties();
    try (InputStream file =
        Main.class.getResourceAsStream("/META-INF/maven/com.github.binarywang/weixin-java-mp/pom.properties")) {
      properties.load(file);
    }
    return properties.getProperty("version");
  }

  private static void answer(String name, String value) {
    System.out.println(new Gson().toJson(Map.of(name, value)));
  }
}
