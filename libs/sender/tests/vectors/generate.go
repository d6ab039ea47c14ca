// Signatures by the Go libraries standard-webhooks and stripe-go, and by Go's
// own crypto/ed25519.
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v82/webhook"
)

type request struct {
	Name, ID, Body string
	Seconds        int64
}

type vector struct {
	By        string  `json:"by"`
	Scheme    string  `json:"scheme"`
	Secret    string  `json:"secret"`
	Request   string  `json:"request"`
	Signature string  `json:"signature"`
	Query     *string `json:"query"`
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func read(file string, into any) {
	text, err := os.ReadFile(file)
	check(err)
	check(json.Unmarshal(text, into))
}

func main() {
	var requests []request
	var secrets map[string][]string
	read("requests.json", &requests)
	read("secrets.json", &secrets)
	vectors := []vector{}
	for _, r := range requests {
		at := time.Unix(r.Seconds, 0)
		for _, secret := range secrets["standard"] {
			hook, err := standardwebhooks.NewWebhook(secret)
			check(err)
			signature, err := hook.Sign(r.ID, at, []byte(r.Body))
			check(err)
			vectors = append(vectors, vector{"standard-webhooks v0.0.1 (Go)", "standard", secret, r.Name, signature, nil})
		}
		for _, secret := range secrets["ed25519"] {
			seed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsk_"))
			check(err)
			signed := fmt.Sprintf("%s.%d.%s", r.ID, r.Seconds, r.Body)
			signature := ed25519.Sign(ed25519.NewKeyFromSeed(seed), []byte(signed))
			text := "v1a," + base64.StdEncoding.EncodeToString(signature)
			vectors = append(vectors, vector{"crypto/ed25519 " + runtime.Version() + " (Go)", "standard", secret, r.Name, text, nil})
		}
		for _, secret := range secrets["shared"] {
			mac := webhook.ComputeSignature(at, []byte(r.Body), secret)
			header := fmt.Sprintf("t=%d,v1=%s", r.Seconds, hex.EncodeToString(mac))
			vectors = append(vectors, vector{"stripe-go v82.5.1 (Go)", "stripe", secret, r.Name, header, nil})
		}
	}
	text, err := json.MarshalIndent(vectors, "", " ")
	check(err)
	fmt.Println(string(text))
}
