// go run verify.go SERVICE ID_NUMBER      standard library only
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

func or(value, usual string) string {
	if value == "" {
		return usual
	}
	return value
}

func main() {
	gateway := or(os.Getenv("GATEWAY"), "http://127.0.0.1:8899")
	token, err := os.ReadFile(or(os.Getenv("TOKEN_FILE"), "local.token"))
	if err != nil || len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: verify SERVICE ID_NUMBER", err)
		os.Exit(2)
	}
	form := url.Values{"service": {os.Args[1]}, "id_no": {os.Args[2]}}
	form.Set("reference", fmt.Sprintf("go-%d", time.Now().UnixNano())) // the same reference is the same request
	for tries := 0; tries < 30; tries++ {
		request, _ := http.NewRequest("POST", gateway+"/verify", strings.NewReader(form.Encode()))
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		request.Header.Set("Accept", "text/plain")
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			body, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			state := ""
			for _, line := range strings.Split(string(body), "\n") {
				if strings.HasPrefix(line, "state=") {
					state = strings.TrimPrefix(line, "state=")
				}
			}
			switch state {
			case "new", "waiting", "hub_away", "clock_wrong":
			default:
				fmt.Print(string(body))
				if state == "verified" {
					os.Exit(0)
				}
				os.Exit(1)
			}
		}
		time.Sleep(time.Second)
	}
	os.Exit(3)
}
