package node

import (
	"errors"
	"testing"
)

func TestSettings(t *testing.T) {
	for text, ok := range map[string]bool{
		"listen: 127.0.0.1:7415\n":                                                  true,
		"listen: 127.0.0.1:7415\ncluster: 127.0.0.1:7416\n":                         true,
		"listen: 127.0.0.1:0\ncluster: 127.0.0.1:0\n":                               true,
		"listen: 0.0.0.0:7415\ncluster: 0.0.0.0:7416\nadvertise: node-a\n":          true,
		"listen: 127.0.0.1:7415\ncluster: 127.0.0.1:7416\nroutes: 127.0.0.1:9000\n": true,
		"listen: 7415\n": false,
		"listen: 127.0.0.1:7415\ncluster: 7416\n":                                    false,
		"listen: 127.0.0.1:7415\ncluster: :7416\n":                                   false,
		"listen: 127.0.0.1:7415\nroutes: 127.0.0.1:7417\n":                           false,
		"listen: 127.0.0.1:7415\nadvertise: node-a\n":                                false,
		"listen: 127.0.0.1:7415\ncluster: 0.0.0.0:7416\n":                            false,
		"listen: 127.0.0.1:7415\ncluster: '[::]:7416'\n":                             false,
		"listen: 127.0.0.1:7417\ncluster: 127.0.0.1:7416\n":                          false,
		"listen: 127.0.0.1:7415\ncluster: 127.0.0.1:7416\nroutes: 127.0.0.1:7416\n":  false,
		"listen: 127.0.0.1:7415\ncluster: 127.0.0.1:65535\n":                         false,
		"listen: 127.0.0.1:7415\ncluster: 127.0.0.1:65535\nroutes: 127.0.0.1:9000\n": true,
		"listen: 127.0.0.1:7415\nclutser: 127.0.0.1:7416\n":                          false,
	} {
		if _, err := parseSettings([]byte(text)); (err == nil) != ok || (err != nil && !errors.Is(err, ErrSettings)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
