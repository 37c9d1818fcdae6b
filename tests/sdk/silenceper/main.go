// Hands out silenceper/wechat's tokens: a line in is a command, a line out its answer.
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
	"github.com/silenceper/wechat/v2/util"
)

const (
	sdk    = "github.com/silenceper/wechat/v2"
	prefix = credential.CacheKeyOfficialAccountPrefix
)

func main() {
	appid, key, memory := os.Getenv("APPID"), os.Getenv("RELAY_KEY"), cache.NewMemory()
	util.SetURIModifier(func(uri string) string {
		return strings.Replace(uri, "https://api.weixin.qq.com", os.Getenv("RELAY_URL"), 1)
	})
	plain := credential.NewDefaultAccessToken(appid, key, prefix, memory)
	stable := credential.NewStableAccessToken(appid, key, prefix, memory)
	commands := map[string]func() (string, error){
		"plain token":  plain.GetAccessToken,
		"stable token": stable.GetAccessToken,
		// The SDK does nothing when WeChat refuses a token: its caller has to.
		"plain refused": func() (string, error) {
			memory.Delete(prefix + "_access_token_" + appid)
			return plain.GetAccessToken()
		},
		"stable refused": func() (string, error) {
			// The forced token is not put into the cache, where the refused one still is.
			if _, err := stable.(*credential.StableAccessToken).GetAccessTokenDirectly(context.Background(), true); err != nil {
				return "", err
			}
			memory.Delete(prefix + "_stable_access_token_" + appid)
			return stable.GetAccessToken()
		},
	}
	answer(map[string]string{"sdk": "silenceper/wechat " + version()})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		token, err := commands[os.Args[1]+" "+lines.Text()]()
		if err != nil {
			answer(map[string]string{"error": err.Error()})
		} else {
			answer(map[string]string{"token": token})
		}
	}
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
