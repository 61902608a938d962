//go:build !linux

package demo

import (
	"context"
	"os/exec"
)

// isolated runs the binary with an empty environment. Only Linux lets us take its network away, and how says so.
func isolated(ctx context.Context, self string, args []string) (out []byte, how string, err error) {
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = []string{}
	out, err = cmd.Output()
	return out, "without environment (this system does not let us take the network away)", err
}
