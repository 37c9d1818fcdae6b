// Uses silenceper/wechat: a line in is a command, a line out its answer.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/silenceper/wechat/v2/cache"
	"github.com/silenceper/wechat/v2/credential"
	"github.com/silenceper/wechat/v2/miniprogram"
	miniconfig "github.com/silenceper/wechat/v2/miniprogram/config"
	"github.com/silenceper/wechat/v2/officialaccount"
	"github.com/silenceper/wechat/v2/officialaccount/config"
	"github.com/silenceper/wechat/v2/officialaccount/material"
	"github.com/silenceper/wechat/v2/officialaccount/message"
	"github.com/silenceper/wechat/v2/util"
)

const (
	sdk    = "github.com/silenceper/wechat/v2"
	prefix = credential.CacheKeyOfficialAccountPrefix
)

var (
	appid, key = os.Getenv("APPID"), os.Getenv("RELAY_KEY")
	stable     = os.Args[1] == "stable"
	memory     = cache.NewMemory()
	account    = officialaccount.NewOfficialAccount(&config.Config{
		AppID: appid, AppSecret: key, Cache: memory, UseStableAK: stable,
	})
	program = miniprogram.NewMiniProgram(&miniconfig.Config{AppID: appid, AppSecret: key, Cache: memory})
)

func main() {
	// Without it the name of WeChat's host leads to the relay, and nothing is changed.
	if relay := os.Getenv("RELAY_URL"); relay != "" {
		util.SetURIModifier(func(uri string) string {
			return strings.Replace(uri, "https://api.weixin.qq.com", relay, 1)
		})
	}
	answer(map[string]string{"sdk": "silenceper/wechat " + version()})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		result, err := carryOut(strings.Fields(lines.Text()))
		if err != nil {
			result = map[string]string{"error": err.Error()}
		}
		answer(result)
	}
}

func carryOut(words []string) (map[string]string, error) {
	switch words[0] {
	case "token":
		token, err := account.GetAccessToken()
		return map[string]string{"token": token}, err
	case "refused":
		token, err := refused()
		return map[string]string{"token": token}, err
	default:
		return use(words[1], words[3])
	}
}

// The SDK does nothing when WeChat refuses a token: its caller has to.
func refused() (string, error) {
	cached := prefix + "_access_token_" + appid
	if stable {
		cached = prefix + "_stable_access_token_" + appid
		// The forced token is not put into the cache, where the refused one still is.
		handle := account.GetContext().AccessTokenHandle.(*credential.StableAccessToken)
		if _, err := handle.GetAccessTokenDirectly(context.Background(), true); err != nil {
			return "", err
		}
	}
	memory.Delete(cached)
	return account.GetAccessToken()
}

func use(code, file string) (map[string]string, error) {
	user, err := program.GetAuth().Code2Session(code)
	if err != nil {
		return nil, err
	}
	text := message.NewCustomerTextMessage(user.OpenID, "hello")
	if err := account.GetCustomerMessageManager().Send(text); err != nil {
		return nil, err
	}
	files := account.GetMaterial()
	uploaded, err := files.MediaUpload(material.MediaTypeImage, file)
	if err != nil {
		return nil, err
	}
	url, err := files.GetMediaURL(uploaded.MediaID)
	if err != nil {
		return nil, err
	}
	back, err := util.HTTPGet(url)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file+".back", back, 0o600); err != nil {
		return nil, err
	}
	return map[string]string{"openid": user.OpenID, "media_id": uploaded.MediaID}, nil
}

func answer(answer map[string]string) {
	text, _ := json.Marshal(answer)
	fmt.Println(string(text))
}

func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == sdk {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "of no known version"
}
