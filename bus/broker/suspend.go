package broker

import (
	"maps"
	"slices"

	"github.com/seed-3e86d5b2/conclave/internal/fault"
)

// errSuspended is why nobody is admitted if Suspend or Restrict was given no reason.
var errSuspended = fault.New(fault.Unreachable, "broker: suspended")

// Suspend has nobody admitted from now on, and silences and disconnects all live connections of clients; why gives the
// code of the events, those of refusals to come too. The clients learn nothing but that the connection ended, so they try
// other nodes, and this one again. The node's own connection stays, and so do routes. When it returns, nothing that
// clients send is delivered any more, as with [Broker.Revoke]. A second Suspend changes why at most.
func (b *Broker) Suspend(why error) {
	if why == nil {
		why = errSuspended
	}
	cut, changed := b.table.bar(why)
	b.disconnect(cut, fault.CodeOf(why))
	b.settleRoutes() // which a restriction had cut
	if changed {
		b.emit(Event{Kind: Suspended, Code: fault.CodeOf(why)})
	}
}

// Restrict has nobody admitted from now on, as Suspend, but lets the live connections publish what their admissions say of
// that case ([Admission.Restricted]), and disconnects those that this leaves nothing. Routes are cut: what clients may
// still publish reaches clients of this broker only, and nothing comes from others; so subscriptions stay, and hear nothing
// else. When it returns, nothing else that clients send is delivered any more; what the server had taken before may be.
// [Broker.Revoke] silences as ever, and a [Broker.Refresh] that the gate refuses does too. A broker that is suspended stays
// so. Where routes cannot be cut, it is suspended.
func (b *Broker) Restrict(why error) {
	if why == nil {
		why = errSuspended
	}
	cut, changed := b.table.narrow(why)
	b.disconnect(cut, fault.CodeOf(why))
	if err := b.cluster.isolate(b.table.isLimited); err != nil {
		b.config.Logger.Error("routes not cut, so nobody is served", "code", string(fault.CodeOf(err)), "error", err)
		b.Suspend(why)
		return
	}
	if changed {
		b.emit(Event{Kind: Restricted, Code: fault.CodeOf(why)})
	}
}

// Resume ends what [Broker.Suspend] or [Broker.Restrict] began: clients are admitted again. The gate judges those that
// stayed anew, as with [Broker.Refresh], and they have all that it says when Resume returns. Without a Suspend or Restrict
// before, it does nothing.
func (b *Broker) Resume() {
	stayed, changed := b.table.unbar()
	if !changed {
		return
	}
	for _, c := range stayed {
		if err := b.refresh(c); err != nil {
			b.disconnect(b.table.drop(c), fault.CodeOf(err))
		}
	}
	b.settleRoutes()
	b.emit(Event{Kind: Resumed})
}

// settleRoutes sets the routes again that a restriction has cut.
func (b *Broker) settleRoutes() {
	if err := b.cluster.isolate(b.table.isLimited); err != nil {
		b.config.Logger.Error("routes not set again", "code", string(fault.CodeOf(err)), "error", err)
	}
}

// bar has nobody admitted from now on, silences all connections and returns them. It reports whether that is new.
func (t *table) bar(why error) (cut []*client, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed = t.barred == nil || t.limited
	t.revision++
	t.barred, t.limited = why, false
	return t.silenceAll(slices.Collect(maps.Values(t.clients))), changed
}

// narrow has nobody admitted from now on and all connections have what is left to them; those that have nothing are
// silenced and returned. It reports whether clients were admitted before. Where they were not, only why changes.
func (t *table) narrow(why error) (cut []*client, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed = t.barred == nil
	t.revision++
	t.barred = why
	if !changed {
		return nil, false
	}
	t.limited = true
	for _, c := range slices.Collect(maps.Values(t.clients)) {
		if len(c.admission.Restricted) == 0 {
			t.silence(c)
			cut = append(cut, c)
			continue
		}
		c.narrowed = true
		t.apply(t.parties[c.admission.Principal], c)
	}
	return cut, changed
}

// unbar has clients admitted again, returns those that are there, and reports whether they were not admitted before.
func (t *table) unbar() (stayed []*client, changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed = t.barred != nil
	t.barred, t.limited = nil, false
	return slices.Collect(maps.Values(t.clients)), changed
}

// bars returns why nobody is admitted, or nil.
func (t *table) bars() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.barred
}

func (t *table) isLimited() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.limited
}
