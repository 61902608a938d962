package checks

import (
	"fmt"
	"regexp"
	"unicode"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// signs are texts that do not belong into anything, and what they are.
var signs = []struct {
	what string
	sign *regexp.Regexp
}{
	{"a cloud key", regexp.MustCompile(`AKIA[0-9A-Z]{16}`)},
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"an access token", regexp.MustCompile(`\b(ghp|glpat|xoxb)[-_][A-Za-z0-9_-]{16,}`)},
	{"a password", regexp.MustCompile(`(?i)\b(password|passwd|secret)["']?\s*[:=]\s*["']?[^\s"'$<{]{6,}`)},
	{"words for whoever reviews", regexp.MustCompile(`(?i)(ignore (all|the|previous)|already approved|skip (the )?review|do not tell)`)},
	{"haste", regexp.MustCompile(`(?i)\b(urgent|immediately|before (the )?audit|today only)\b`)},
	{"SQL that destroys", regexp.MustCompile(`(?i)\b(drop|truncate)\s+(table|database|column)|\bdelete\s+from|disable\s+trigger`)},
	{"a download that is run", regexp.MustCompile(`(?i)\b(curl|wget)\b.*\|\s*(ba)?sh\b|/bin/(ba)?sh -c`)},
	{"a switch that turns a check off", regexp.MustCompile(`(?i)(--no-verify|--insecure|verify=false|auth=off|skip-tests)`)},
}

// scan reads all texts of an action.
func scan(a sdk.Action) string {
	texts := []string{a.Target, a.Rollback}
	for _, p := range a.Params {
		texts = append(texts, p.Values...)
	}
	for _, text := range texts {
		for _, s := range signs {
			if s.sign.MatchString(text) {
				return "found " + s.what
			}
		}
		for _, r := range text {
			if unicode.Is(unicode.Cf, r) {
				return fmt.Sprintf("found the invisible character %U", r)
			}
		}
	}
	return ""
}
