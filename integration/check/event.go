package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Op says what an event is about.
type Op string

// The kinds of events. Which fields each one uses is said beside it; Agent, Start, End and Result are always used.
const (
	Write       Op = "write"       // a registry command: Key (principal), Fields it sets, Expect, Index
	Look        Op = "look"        // a read of one principal: Key, Fields, Index (of its last change), Node if known, Stale, Final
	Call        Op = "call"        // a request: ID, To
	Publish     Op = "publish"     // a message of a topic: ID, Topic, Counter
	Handle      Op = "handle"      // the application got it: ID, From, Topic (empty: a request), Counter
	State       Op = "state"       // a node's digests: Node, Index (commands), Applied, Root, State, Final
	Certificate Op = "certificate" // a verified certificate: Key (proposal), Outcome
	Act         Op = "act"         // a guarded action ran: Key (proposal)
	LogTime     Op = "log-time"    // what a replica holds for the time: Agent (one life of the node), Node, Applied, Time, Clocks
	Fault       Op = "fault"       // what the schedule did, for people: Key (its name), Node
)

// Result is how an operation ended for who asked.
type Result string

// The results. Unknown operations may take effect at any later time, at most once.
const (
	OK      Result = "ok"
	Refused Result = "refused" // it had no effect and never will
	Unknown Result = "unknown" // timed out, or the connection broke
)

// Event is one line of a history. Start and End are nanoseconds on one clock for the whole run: when it was asked, and
// when the answer was there.
type Event struct {
	Run    string `json:"run,omitempty"`
	Seed   uint64 `json:"seed,omitempty"`
	Op     Op     `json:"op"`
	Agent  string `json:"agent"` // who observed it
	Node   string `json:"node,omitempty"`
	Start  int64  `json:"start"`
	End    int64  `json:"end"`
	Result Result `json:"result"`
	Code   string `json:"code,omitempty"` // of a refusal or failure

	ID      string            `json:"id,omitempty"` // one message, over all who saw it
	From    string            `json:"from,omitempty"`
	To      string            `json:"to,omitempty"`
	Topic   string            `json:"topic,omitempty"`
	Counter uint64            `json:"counter,omitempty"` // per sender and topic, from 1
	Process uint64            `json:"process,omitempty"` // of the sender: order is kept within one
	Key     string            `json:"key,omitempty"`
	Fields  map[string]string `json:"fields,omitempty"`
	Expect  uint64            `json:"expect,omitempty"` // 0: any
	Index   uint64            `json:"index,omitempty"`
	Applied uint64            `json:"applied,omitempty"` // log entries applied, 0 if not told
	Root    string            `json:"root,omitempty"`
	State   string            `json:"state,omitempty"`
	Outcome string            `json:"outcome,omitempty"`
	Stale   bool              `json:"stale,omitempty"`  // a read that may lag
	Time    int64             `json:"time,omitempty"`   // Unix milliseconds
	Clocks  []int64           `json:"clocks,omitempty"` // the latest time that each node's wall clock has shown by End, Unix milliseconds
	Final   bool              `json:"final,omitempty"`  // read after every fault was healed and everybody had caught up
}

// maxLine bounds one event, in bytes.
const maxLine = 1 << 20

// Append writes events as JSON lines.
func Append(w io.Writer, events ...Event) error {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, e := range events {
		if err := encoder.Encode(e); err != nil {
			return err
		}
	}
	_, err := w.Write(lines.Bytes())
	return err
}

// Read reads JSON lines strictly: an unknown field, operation or result, or an end before the start, is an error that
// names the line.
func Read(r io.Reader) ([]Event, error) {
	var history []Event
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		var e Event
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if d.More() {
			return nil, fmt.Errorf("line %d: more than one event", n)
		}
		if err := e.valid(); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		history = append(history, e)
	}
	return history, lines.Err()
}

func (e Event) valid() error {
	switch e.Op {
	case Write, Look, Call, Publish, Handle, State, Certificate, Act, LogTime, Fault:
	default:
		return fmt.Errorf("operation %q", e.Op)
	}
	switch e.Result {
	case OK, Refused, Unknown:
	default:
		return fmt.Errorf("result %q", e.Result)
	}
	if e.Start > e.End {
		return fmt.Errorf("it ends at %d, before it starts at %d", e.End, e.Start)
	}
	return nil
}
