package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
)

// What a server in a process of its own may be.
const (
	kindNode  = "node"
	kindPlain = "plain"
)

// ServerCommand is the first argument with which [Config].Self is started where a server runs in a process of its own.
const ServerCommand = "bench-server"

// arguments are those of such a process.
func arguments(kind, dir string) []string { return []string{ServerCommand, kind, dir} }

// hello is the first line of a server: where it is.
type hello struct {
	Address     string `json:"address"`
	Pin         string `json:"pin,omitempty"`         // a node's
	Certificate []byte `json:"certificate,omitempty"` // a plain server's
}

// memory is a server's answer to every line it gets: how much memory it holds after it has given back what it can.
type memory struct {
	Resident uint64 `json:"resident"` // bytes
}

// Serve is the server in a process of its own: a node of the directory, or a plain nats-server. It says on out where it
// is, and how much memory it holds for each line that in brings. It ends with in or ctx.
func Serve(ctx context.Context, kind, dir string, in io.Reader, out io.Writer) (err error) {
	if err := openFiles(0); err != nil {
		return err
	}
	said := json.NewEncoder(out)
	switch kind {
	case kindNode:
		n, err := node.Open(ctx, node.Config{Dir: dir})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, n.Close()) }()
		if err := said.Encode(hello{Address: n.Addr(), Pin: n.ID().String()}); err != nil {
			return err
		}
	case kindPlain:
		p, err := startPlain()
		if err != nil {
			return err
		}
		defer p.close()
		if err := said.Encode(hello{Address: p.address(), Certificate: p.certificate}); err != nil {
			return err
		}
	default:
		return fault.New(fault.Usage, fmt.Sprintf("no server of kind %.20q", kind))
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		if err := said.Encode(memory{resident()}); err != nil {
			return err
		}
	}
	return nil
}

// resident returns how many bytes of memory this process holds, after it has given back what it does not use.
func resident() uint64 {
	runtime.GC() // what the first one finalizes, the next one frees
	debug.FreeOSMemory()
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			if pages, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
				return pages * uint64(os.Getpagesize())
			}
		}
	}
	var m runtime.MemStats // elsewhere: what Go itself holds
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}

// child is a server in a process of its own.
type child struct {
	hello
	cmd  *exec.Cmd
	in   io.WriteCloser
	said *json.Decoder

	complaint bytes.Buffer // its stderr, to be read after its end
}

var errNoSelf = fault.New(fault.Usage, "bench: it is not known how to start a server in a process of its own")

// spawn starts a server in a process of its own, until the bout's end, and returns when it can be connected to.
func (b *bout) spawn(ctx context.Context, kind, dir string) (*child, error) {
	if b.Self == "" {
		return nil, errNoSelf
	}
	c := &child{cmd: exec.CommandContext(ctx, b.Self, arguments(kind, dir)...)}
	c.cmd.Stderr = &c.complaint
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	b.later(c.end)
	c.said = json.NewDecoder(out)
	if err := c.said.Decode(&c.hello); err != nil {
		return nil, fmt.Errorf("bench: the %s server does not start: %w", kind, err)
	}
	return c, nil
}

// door says where the child's node is.
func (c *child) door() (door, error) {
	pin, err := identity.ParseID(c.Pin)
	return door{c.Address, pin}, err
}

// resident asks how many bytes of memory the process holds.
func (c *child) resident() (uint64, error) {
	if _, err := io.WriteString(c.in, "memory\n"); err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	var m memory
	if err := c.said.Decode(&m); err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	return m.Resident, nil
}

// end ends the process and waits for it.
func (c *child) end() error {
	err := c.in.Close()
	if waitErr := c.cmd.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("bench: server: %w: %s", waitErr, bytes.TrimSpace(c.complaint.Bytes())))
	}
	return err
}
