// Uses WxJava: a line in is a command, a line out its answer.

import cn.binarywang.wx.miniapp.api.WxMaService;
import cn.binarywang.wx.miniapp.api.impl.WxMaServiceImpl;
import cn.binarywang.wx.miniapp.bean.WxMaKefuMessage;
import cn.binarywang.wx.miniapp.config.impl.WxMaDefaultConfigImpl;
import com.google.gson.Gson;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.Properties;
import me.chanjar.weixin.common.error.WxErrorException;
import me.chanjar.weixin.mp.api.WxMpService;
import me.chanjar.weixin.mp.api.impl.WxMpServiceImpl;
import me.chanjar.weixin.mp.bean.kefu.WxMpKefuMessage;
import me.chanjar.weixin.mp.config.WxMpHostConfig;
import me.chanjar.weixin.mp.config.impl.WxMpDefaultConfigImpl;

public class Main {
  private static final String APPID = System.getenv("APPID");
  private static final String RELAY_KEY = System.getenv("RELAY_KEY");
  private static final String RELAY_URL = System.getenv("RELAY_URL");

  /** What both services can do. */
  private interface Account {
    /** {@code force} is for a token that WeChat has refused. */
    String token(boolean force) throws WxErrorException;

    /** An official account has no such log-in: the user is the one that is given. */
    String login(String code, String openid) throws WxErrorException;

    void send(String openid) throws WxErrorException;

    String upload(File file) throws WxErrorException;

    File download(String mediaId) throws WxErrorException;
  }

  public static void main(String[] arguments) throws IOException {
    boolean stable = arguments[1].equals("stable");
    Account account = arguments[0].equals("mp") ? officialAccount(stable) : miniProgram(stable);
    answer(Map.of("sdk", "WxJava " + version()));
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      try {
        answer(carryOut(account, line.split(" ")));
      } catch (WxErrorException | RuntimeException error) {
        answer(Map.of("error", error.toString()));
      }
    }
  }

  private static Map<String, String> carryOut(Account account, String[] words) throws WxErrorException, IOException {
    if (!words[0].equals("use")) {
      return Map.of("token", account.token(words[0].equals("refused")));
    }
    String openid = account.login(words[1], words[2]);
    account.send(openid);
    String mediaId = account.upload(new File(words[3]));
    Path back = Path.of(words[3] + ".back");
    Files.move(account.download(mediaId).toPath(), back, StandardCopyOption.REPLACE_EXISTING);
    return Map.of("openid", openid, "media_id", mediaId);
  }

  private static Account officialAccount(boolean stable) {
    WxMpDefaultConfigImpl config = new WxMpDefaultConfigImpl();
    config.setAppId(APPID);
    config.setSecret(RELAY_KEY);
    config.useStableAccessToken(stable);
    WxMpHostConfig hosts = new WxMpHostConfig();
    hosts.setApiHost(RELAY_URL);
    config.setHostConfig(hosts);
    WxMpService service = new WxMpServiceImpl();
    service.setWxMpConfigStorage(config);
    return new Account() {
      @Override
      public String token(boolean force) throws WxErrorException {
        return service.getAccessToken(force);
      }

      @Override
      public String login(String code, String openid) {
        return openid;
      }

      @Override
      public void send(String openid) throws WxErrorException {
        service.getKefuService().sendKefuMessage(WxMpKefuMessage.TEXT().toUser(openid).content("hello").build());
      }

      @Override
      public String upload(File file) throws WxErrorException {
        return service.getMaterialService().mediaUpload("image", file).getMediaId();
      }

      @Override
      public File download(String mediaId) throws WxErrorException {
        return service.getMaterialService().mediaDownload(mediaId);
      }
    };
  }

  private static Account miniProgram(boolean stable) {
    WxMaDefaultConfigImpl config = new WxMaDefaultConfigImpl();
    config.setAppid(APPID);
    config.setSecret(RELAY_KEY);
    config.useStableAccessToken(stable);
    config.setApiHostUrl(RELAY_URL);
    WxMaService service = new WxMaServiceImpl();
    service.setWxMaConfig(config);
    return new Account() {
      @Override
      public String token(boolean force) throws WxErrorException {
        return service.getAccessToken(force);
      }

      @Override
      public String login(String code, String openid) throws WxErrorException {
        return service.jsCode2SessionInfo(code).getOpenid();
      }

      @Override
      public void send(String openid) throws WxErrorException {
        service.getMsgService().sendKefuMsg(WxMaKefuMessage.newTextBuilder().toUser(openid).content("hello").build());
      }

      @Override
      public String upload(File file) throws WxErrorException {
        return service.getMediaService().uploadMedia("image", file).getMediaId();
      }

      @Override
      public File download(String mediaId) throws WxErrorException {
        return service.getMediaService().getMedia(mediaId);
      }
    };
  }

  private static String version() throws IOException {
    Properties properties = new Properties();
    try (InputStream file =
        Main.class.getResourceAsStream("/META-INF/maven/com.github.binarywang/weixin-java-mp/pom.properties")) {
      properties.load(file);
    }
    return properties.getProperty("version");
  }

  private static void answer(Map<String, String> answer) {
    System.out.println(new Gson().toJson(answer));
  }
}
