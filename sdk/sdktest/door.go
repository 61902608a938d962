package sdktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/membus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/registrar"
)

// door admits connections as the broker does: it asks the registrar, and again at every change. Admitting and changing
// exclude each other.
type door struct {
	network   *membus.Network
	registrar *registrar.Registrar
	raw       *membus.Conn // may publish anything: the hostile node's
	packets   recorder
	hook      atomic.Pointer[func(Packet) []Packet]

	mu    sync.Mutex
	links map[*link]struct{}
}

var _ registrar.Enforcer = (*door)(nil)

func newDoor(r *registrar.Registrar) *door {
	d := &door{network: membus.New(membus.Options{Queue: 8192}), registrar: r, links: map[*link]struct{}{}}
	d.raw = d.network.Join(bus.NodePermissions(r.Realm()), bus.Observer{})
	return d
}

// nodeConn returns the registrar's own connection.
func (d *door) nodeConn() bus.Conn {
	conn := d.network.Join(bus.NodePermissions(d.registrar.Realm()), bus.Observer{})
	return &link{Conn: conn, door: d, principal: d.registrar.ID()}
}

// link is one admitted connection.
type link struct {
	*membus.Conn
	door      *door
	principal identity.ID
	shown     natsbus.Presentation
	expiry    *time.Timer // nil for the node's own
}

// connect implements [sdk.Transport].
func (d *door) connect(ctx context.Context, o natsbus.Options) (bus.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !slices.Contains(o.Pins, d.registrar.ID()) {
		return nil, fmt.Errorf("%w: the node is not one of those pinned", bus.ErrUnreachable)
	}
	if o.Present == nil {
		return nil, natsbus.ErrOptions
	}
	shown, err := o.Present()
	if err != nil {
		return nil, err
	}
	if _, err := shown.Token(); err != nil { // too long for a broker
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a, err := d.judge(shown)
	if err != nil {
		return nil, errors.Join(natsbus.ErrRefused, err)
	}
	l := &link{Conn: d.network.Join(a.Permissions, o.Observer), door: d, principal: a.Principal, shown: shown}
	d.links[l] = struct{}{}
	left := time.Until(time.UnixMilli(a.Expires))
	l.expiry = time.AfterFunc(left, func() { d.expel(l) })
	return l, nil
}

func (d *door) judge(shown natsbus.Presentation) (registrar.Admission, error) {
	ask := d.registrar.Admit
	if shown.Invitation {
		ask = d.registrar.AdmitInvited
	}
	now := time.Now().UnixMilli()
	a, err := ask(shown.Statement, shown.Connect.Public(), now)
	if shown.Invitation {
		a.Expires = min(a.Expires, now+invitedLife.Milliseconds())
	}
	return a, err
}

// invitedLife is how long a one-time key stays connected, as at a broker.
const invitedLife = 30 * time.Second

// expel ends one connection, as a broker does that refuses it.
func (d *door) expel(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut(l)
}

// cut takes everything from a connection and ends it. d.mu is held.
func (d *door) cut(l *link) {
	if _, there := d.links[l]; !there {
		return
	}
	delete(d.links, l)
	l.expiry.Stop()
	d.network.Permit(l.Conn, bus.Permissions{})
	d.network.Expel(l.Conn, natsbus.ErrRefused)
}

// of returns the principal's connections. d.mu is held.
func (d *door) of(id identity.ID) []*link {
	var found []*link
	for l := range d.links {
		if l.principal == id {
			found = append(found, l)
		}
	}
	return found
}

// Revoke implements [registrar.Enforcer].
func (d *door) Revoke(id identity.ID) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.of(id)
	for _, l := range list {
		d.cut(l)
	}
	return len(list)
}

// Refresh implements [registrar.Enforcer].
func (d *door) Refresh(id identity.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.of(id) {
		a, err := d.judge(l.shown)
		if err != nil {
			d.cut(l)
			continue
		}
		d.network.Permit(l.Conn, a.Permissions)
	}
}

// Suspend implements [registrar.Enforcer]. A realm of one node never loses its lease.
func (d *door) Suspend(error) {}

// Restrict implements [registrar.Enforcer]. See Suspend.
func (d *door) Restrict(error) {}

// Resume implements [registrar.Enforcer].
func (d *door) Resume() {}

// Live implements [registrar.Enforcer].
func (d *door) Live(id identity.ID) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.of(id))
}

// close ends what is still connected.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for l := range d.links {
		d.cut(l)
	}
}

// Publish implements [bus.Conn]. What a test intercepts is published by the node, whoever sent it.
func (l *link) Publish(ctx context.Context, subject string, data []byte) error {
	p := Packet{From: l.principal, Subject: subject, Data: bytes.Clone(data)}
	l.door.packets.add(p)
	hook := l.door.hook.Load()
	if hook == nil {
		return l.Conn.Publish(ctx, subject, data)
	}
	var err error
	for _, out := range (*hook)(p) {
		if out.Subject == subject && bytes.Equal(out.Data, data) {
			err = errors.Join(err, l.Conn.Publish(ctx, subject, data))
			continue
		}
		err = errors.Join(err, l.door.raw.Publish(ctx, out.Subject, out.Data))
	}
	return err
}

// Close implements [bus.Conn].
func (l *link) Close(ctx context.Context) error {
	err := l.Conn.Close(ctx)
	l.door.mu.Lock()
	defer l.door.mu.Unlock()
	delete(l.door.links, l)
	if l.expiry != nil {
		l.expiry.Stop()
	}
	return err
}
