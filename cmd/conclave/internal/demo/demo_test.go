package demo

import (
	"bytes"
	"context"
	"testing"
)

func TestStory(t *testing.T) {
	var out bytes.Buffer
	report, err := Run(context.Background(), Config{Out: &out, Self: "/bin/false"})
	t.Log(out.String())
	if err != nil || !report.OK {
		t.Fatalf("%v", err)
	}
}
