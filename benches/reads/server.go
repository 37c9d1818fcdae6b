// The same job in Go: a map of keys, one answer. Started by the bench.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
)

func main() {
	var headers [][2]string
	if err := json.Unmarshal([]byte(os.Getenv("HEADERS")), &headers); err != nil {
		panic(err)
	}
	body := []byte(os.Getenv("BODY"))
	clients := map[string]string{"Bearer " + os.Getenv("KEY"): "bench"}
	http.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if _, known := clients[r.Header.Get("Authorization")]; !known {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		for _, header := range headers {
			w.Header().Set(header[0], header[1])
		}
		w.Write(body)
	})
	go func() {
		io.Copy(io.Discard, os.Stdin) // ends with the bench
		os.Exit(0)
	}()
	panic(http.ListenAndServe(os.Getenv("ADDRESS"), nil))
}
