// Publishes one message to efir and prints its position. Standard library only.
// usage: go run publish.go BASE_URL CHANNEL TEXT [KEY]
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const attempts = 5

// receipt is what efir answers to a publish; there are more fields.
type receipt struct {
	Position  string `json:"position"`
	Duplicate bool   `json:"duplicate"`
}

// publish publishes data as JSON. The same key goes with every attempt, so a retry never makes a second message.
func publish(baseURL, channel string, data any, key string) (receipt, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return receipt{}, err
	}
	target := strings.TrimRight(baseURL, "/") + "/channels/" + url.PathEscape(channel)
	for attempt := 1; ; attempt++ {
		answer, isFinal, err := try(target, body, key)
		if err == nil || isFinal || attempt == attempts {
			return answer, err
		}
		time.Sleep(200 * time.Millisecond << attempt)
	}
}

// try makes one attempt and tells whether its failure is final.
func try(target string, body []byte, key string) (answer receipt, isFinal bool, err error) {
	request, err := http.NewRequest(http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return answer, true, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return answer, false, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return answer, false, err
	}
	if response.StatusCode != http.StatusOK {
		isFinal = response.StatusCode != http.StatusServiceUnavailable
		return answer, isFinal, fmt.Errorf("efir refused: %s %s", response.Status, text)
	}
	return answer, true, json.Unmarshal(text, &answer)
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: go run publish.go BASE_URL CHANNEL TEXT [KEY]")
		os.Exit(2)
	}
	key := rand.Text()
	if len(os.Args) > 4 {
		key = os.Args[4]
	}
	answer, err := publish(os.Args[1], os.Args[2], map[string]string{"text": os.Args[3]}, key)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(answer.Position)
}
