// A client of token-relay. Needs Go 1.22; run it with: go run main.go
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

var errNoToken = errors.New("token-relay answered without a token")

// Relay is the access_token from token-relay: cached for a minute, reported when WeChat refuses it.
type Relay struct {
	URL, Key string

	mu                 sync.Mutex
	cached             string
	askAgainAt, diesAt time.Time
}

// Call calls api with a token; once more if WeChat refuses it.
func (r *Relay) Call(api func(token string) ([]byte, error)) ([]byte, error) {
	token, err := r.Token()
	if err != nil {
		return nil, err
	}
	reply, err := api(token)
	if err == nil && refused(reply) {
		if token, err = r.Report(token); err == nil {
			reply, err = api(token)
		}
	}
	return reply, err
}

func refused(reply []byte) bool {
	var said struct{ Errcode int }
	_ = json.Unmarshal(reply, &said) // a reply that is not JSON has no errcode
	return said.Errcode == 40001 || said.Errcode == 40014 || said.Errcode == 42001
}

func (r *Relay) Token() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.askAgainAt) {
		return r.cached, nil
	}
	if err := r.ask("GET", "/token", 5*time.Second, nil); err != nil {
		if errors.Is(err, errNoToken) { // 503: there is none now, the one in hand is dead too
			r.diesAt = time.Time{}
		}
		if !time.Now().Before(r.diesAt) {
			return "", err
		}
		// The relay is away: the token in hand is good for its expires_in.
		r.askAgainAt = time.Now().Add(2 * time.Second)
	}
	return r.cached, nil
}

func (r *Relay) Report(bad string) (string, error) {
	r.mu.Lock()
	if r.cached == bad { // else another goroutine has reported it
		body, _ := json.Marshal(map[string]string{"access_token": bad})
		if err := r.ask("POST", "/token/refresh", 15*time.Second, body); err != nil {
			r.askAgainAt = time.Time{} // 429: checked just now; 503: no verdict, or no new token
		}
	}
	r.mu.Unlock()
	return r.Token() // asks, if the report got none: is there a token to retry with?
}

func (r *Relay) ask(method, path string, timeout time.Duration, body []byte) error {
	askedAt := time.Now()
	request, err := http.NewRequest(method, r.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+r.Key)
	answer, err := (&http.Client{Timeout: timeout}).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		problem, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%w: %s %s", errNoToken, answer.Status, problem)
	}
	var said struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return err
	}
	r.cached = said.AccessToken
	r.askAgainAt = askedAt.Add(time.Duration(min(60, said.ExpiresIn)) * time.Second)
	r.diesAt = askedAt.Add(time.Duration(said.ExpiresIn) * time.Second)
	return nil
}

func main() {
	wechat := cmp.Or(os.Getenv("WECHAT_URL"), "https://api.weixin.qq.com")
	relay := &Relay{URL: cmp.Or(os.Getenv("RELAY_URL"), "http://127.0.0.1:8080"), Key: os.Getenv("RELAY_KEY")}
	reply, err := relay.Call(func(token string) ([]byte, error) {
		answer, err := http.Get(wechat + "/cgi-bin/getcallbackip?access_token=" + token)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		return io.ReadAll(answer.Body)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(reply))
}
