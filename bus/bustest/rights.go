package bustest

import (
	"slices"
	"testing"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/trust"
)

func everything() trust.Rights {
	return trust.Rights{Call: []string{"*"}, Serve: []string{"*"}, Publish: []string{"a", "b.*"}, Subscribe: []string{"a", "b.*"}}
}

// testSeparate shows every honest way to work, and then that another agent has none of them.
func testSeparate(t *testing.T, n Network) {
	r, one, two := bus.In(Realm), ID(identity.Agent, 1), ID(identity.Agent, 2)
	node, id := ID(identity.Node, 1), bus.Token{7}
	p1, p2 := bus.TokenOf(Process(1)), bus.TokenOf(Process(2))
	top, err := r.Topic(one, "b.c")
	must(t, err)
	topics, err := r.Topics("b.*")
	must(t, err)
	refused := make(chan error, 64)
	first := n.Join(t, Seat{Permissions: Agent(1, everything()), Queue: 64})
	second := n.Join(t, Seat{Permissions: Agent(2, everything()), Queue: 64})
	thief := n.Join(t, Seat{
		Permissions: Agent(3, everything()), Queue: 64, Observer: bus.Observer{Refused: func(err error) { refused <- err }},
	})
	hub := n.Join(t, full())
	for _, row := range []struct {
		from, to         bus.Conn
		subject, pattern string
	}{
		{first, second, r.Request(two, p2, one), r.Requests(two, p2)},
		{second, first, r.Reply(one, p1, two, id), r.Replies(one, p1)},
		{first, hub, r.Control(node, one, p1, id), r.Controls(node)},
		{hub, first, r.ControlReply(one, p1, id), r.ControlReplies(one, p1)},
		{hub, first, r.Hint(node), r.Hints()},
		{hub, hub, r.Word(node), r.Words()},
		{first, second, top, topics},
	} {
		got, s := listen(t, row.to, row.pattern)
		must(t, row.from.Publish(within(t), row.subject, []byte("honest")))
		must(t, row.from.Flush(within(t)))
		if m := next(t, got); m.data != "honest" || m.subject != row.subject {
			t.Errorf("%s: got %v", row.subject, m)
		}
		if row.subject != r.Hint(node) && row.subject != top { // which everybody may hear
			_, err := thief.Subscribe(row.pattern, func(string, []byte) {})
			want(t, "subscribe to "+row.pattern, err, bus.ErrDenied)
		}
		if err := thief.Publish(within(t), row.subject, []byte("forged")); err == nil {
			must(t, thief.Flush(within(t)))
			want(t, "publish on "+row.subject, <-refused, bus.ErrDenied)
		} else {
			want(t, "publish on "+row.subject, err, bus.ErrDenied)
		}
		must(t, row.from.Publish(within(t), row.subject, []byte("end")))
		if before := upTo(t, got, "end"); len(before) != 0 {
			t.Errorf("%s: forged %v was delivered", row.subject, before)
		}
		must(t, s.Unsubscribe())
	}
}

// testPublishing publishes on generated subjects; exactly what is allowed arrives, in order.
func testPublishing(t *testing.T, n Network) {
	p := Agent(1, everything())
	agent, hub := n.Join(t, Seat{Permissions: p, Queue: 64}), n.Join(t, full())
	got, _ := listen(t, hub, bus.In(Realm).All())
	var sent []string
	for i, s := range generate(t, p.Publish, 400) {
		err := agent.Publish(within(t), s, []byte(s))
		switch {
		case !bus.ValidSubject(s):
			want(t, "publish "+s, err, bus.ErrSubject)
		case p.MayPublish(s):
			must(t, err)
			sent = append(sent, s)
		case err != nil:
			want(t, "publish "+s, err, bus.ErrDenied)
		}
		if i%16 == 0 {
			must(t, agent.Flush(within(t)))
		}
	}
	must(t, agent.Flush(within(t)))
	must(t, hub.Publish(within(t), subject("end"), []byte("end")))
	var heard []string
	for _, m := range upTo(t, got, "end") {
		heard = append(heard, m.subject)
	}
	if len(sent) < 5 || !slices.Equal(heard, sent) {
		t.Errorf("%d allowed, %d arrived: %v", len(sent), len(heard), heard)
	}
}

// testSubscribing subscribes to generated patterns; exactly what is allowed is accepted.
func testSubscribing(t *testing.T, n Network) {
	p := Agent(1, everything())
	agent := n.Join(t, Seat{Permissions: p, Queue: 1})
	accepted := 0
	for _, s := range generate(t, p.Subscribe, 300) {
		sub, err := agent.Subscribe(s, func(string, []byte) {})
		switch {
		case !bus.ValidPattern(s):
			want(t, "subscribe "+s, err, bus.ErrSubject)
		case !p.MaySubscribe(s):
			want(t, "subscribe "+s, err, bus.ErrDenied)
		default:
			must(t, err)
			must(t, sub.Unsubscribe())
			accepted++
		}
	}
	if accepted < 5 {
		t.Errorf("only %d patterns accepted", accepted)
	}
}

func testNothing(t *testing.T, n Network) {
	some, err := bus.In(Realm).Topics("a")
	must(t, err)
	hub := n.Join(t, full())
	got, _ := listen(t, hub, bus.In(Realm).All())
	mute := n.Join(t, Seat{Permissions: bus.Permissions{Subscribe: []string{some}}, Queue: 1})
	deaf := n.Join(t, Seat{Permissions: bus.Permissions{Publish: []string{subject("x")}}, Queue: 1})
	must(t, deaf.Publish(within(t), subject("x"), []byte("honest")))
	must(t, deaf.Flush(within(t)))
	next(t, got)
	if err := mute.Publish(within(t), subject("x"), []byte("forged")); err != nil {
		want(t, "publish without rights", err, bus.ErrDenied)
	}
	must(t, mute.Flush(within(t)))
	must(t, hub.Publish(within(t), subject("x"), []byte("end")))
	if before := upTo(t, got, "end"); len(before) != 0 {
		t.Errorf("delivered %v", before)
	}
	_, err = mute.Subscribe(some, func(string, []byte) {})
	must(t, err)
	for _, pattern := range []string{">", "*", subject(">"), subject("x"), some} {
		_, err := deaf.Subscribe(pattern, func(string, []byte) {})
		want(t, "subscribe without rights to "+pattern, err, bus.ErrDenied)
	}
}
