package checks

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// Limits, each in the unit of its action.
const (
	mostCents   = 2_000_000
	mostRows    = 100_000
	mostContent = 1_500
	mostCopies  = 24
	firstShare  = 25 // percent of a release that production sees first
)

// sums calculates: what adds up, what is within limits, and check digits.
func sums(a sdk.Action) string {
	switch a.Kind {
	case "file.write":
		mode, err := strconv.ParseUint(value(a, "mode"), 8, 32)
		switch n := len(value(a, "content")); {
		case err != nil || mode&0o022 != 0:
			return fmt.Sprintf("mode %.10q lets others write", value(a, "mode"))
		case n > mostContent:
			return fmt.Sprintf("%d bytes, at most %d", n, mostContent)
		}
	case "db.migrate":
		rows, err := strconv.ParseUint(value(a, "rows"), 10, 64)
		if err != nil || rows > mostRows {
			return fmt.Sprintf("%.20q rows, at most %d", value(a, "rows"), mostRows)
		}
		if rows != a.Amount {
			return fmt.Sprintf("%d rows, and the amount is %d", rows, a.Amount)
		}
	case "payments.transfer":
		return payment(a)
	case "deploy.release":
		copies, err := strconv.ParseUint(value(a, "replicas"), 10, 64)
		share, shareErr := strconv.ParseUint(value(a, "canary"), 10, 64)
		switch {
		case err != nil || copies < 1 || copies > mostCopies:
			return fmt.Sprintf("%.20q replicas, 1 to %d", value(a, "replicas"), mostCopies)
		case shareErr != nil || strings.HasPrefix(a.Target, "production/") && (share == 0 || share > firstShare):
			return fmt.Sprintf("%.20q%% see it first, at most %d%%", value(a, "canary"), firstShare)
		}
	}
	return ""
}

// payment adds the lines up and checks the account's check digits (ISO 7064, mod 97).
func payment(a sdk.Action) string {
	var sum uint64
	for _, line := range a.Values("lines") {
		cents, err := strconv.ParseUint(line, 10, 32)
		if err != nil {
			return fmt.Sprintf("line %.20q is no amount", line)
		}
		sum += cents
	}
	switch {
	case sum != a.Amount:
		return fmt.Sprintf("the lines are %d cents together, and the amount is %d", sum, a.Amount)
	case sum > mostCents:
		return fmt.Sprintf("%d cents, at most %d", sum, mostCents)
	case !account(a.Target):
		return fmt.Sprintf("account %.40q has wrong check digits", a.Target)
	}
	return ""
}

func account(iban string) bool {
	if len(iban) < 5 {
		return false
	}
	rest := 0
	for _, c := range iban[4:] + iban[:4] {
		switch {
		case c >= '0' && c <= '9':
			rest = (rest*10 + int(c-'0')) % 97
		case c >= 'A' && c <= 'Z':
			rest = (rest*100 + int(c-'A') + 10) % 97
		default:
			return false
		}
	}
	return rest == 1
}
