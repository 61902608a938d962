package broker

import (
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/seed-3e86d5b2/conclave/bus"
	"github.com/seed-3e86d5b2/conclave/bus/natsbus"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	errNotAClient = fault.New(fault.Denied, "broker: only clients of the native protocol are admitted")
	errLogin      = fault.New(fault.Denied, "broker: a client logs in by its token alone, once")
	errSecret     = fault.New(fault.Denied, "broker: wrong secret in process")
	errToken      = fault.New(fault.Malformed, "broker: the token is not base64url")
	errTokenSize  = fault.New(fault.TooLarge, "broker: the token is too long; at most 3,072 characters")
	errTooMany    = fault.New(fault.Rate, "broker: too many live connections of one principal")
	errUnsettled  = fault.New(fault.Rate, "broker: rights kept changing while the connection was judged")
	errAdmission  = fault.New(fault.Internal, "broker: the gate's admission is not one of this realm")
	errExpired    = fault.New(fault.Expired, "broker: the credential has ended")
	errPanic      = fault.New(fault.Internal, "broker: the gate failed")
)

// judgements is how often a connection is judged anew because rights changed meanwhile.
const judgements = 16

// presented is what a connection has shown: enough to judge it again.
type presented struct {
	statement []byte
	invited   bool
	connect   wire.PublicKey
}

// authenticator is the server's only way to admit a client. Check runs in the client's read goroutine, with no lock of
// the server's held.
type authenticator struct{ b *Broker }

// Check implements [server.Authentication]. The server asks again for every connection at each reload, those that have
// not logged in yet too. Rights are given and taken by the table alone, so nothing is judged and nothing changes then.
func (a authenticator) Check(c server.ClientAuthentication) (ok bool) {
	b := a.b
	if b.cluster.reloads() {
		return true
	}
	event := Event{Kind: Refused, Client: c.GetID(), Address: address(c)}
	defer func() {
		if recover() != nil { // a gate that panics refuses; it must not end the process
			ok, event.Kind, event.Code = false, Refused, errPanic.Code
		}
		b.emit(event)
	}()
	if inProcess(c) {
		return a.checkNode(c, &event)
	}
	shown, err := read(c)
	if err == nil {
		event.Principal, event.Process, err = b.admit(c, shown)
	}
	if err != nil {
		event.Code = fault.CodeOf(err)
		if b.table.bars() != nil {
			// The client is to try other nodes, and this one again later: it is hung up on, without the server's word
			// that its credential was refused.
			_ = b.server.DisconnectClientByID(c.GetID())
		}
		return false
	}
	event.Kind = Admitted
	return true
}

func address(c server.ClientAuthentication) string {
	if a := c.RemoteAddress(); a != nil {
		return a.String()
	}
	return ""
}

func inProcess(c server.ClientAuthentication) bool {
	a := c.RemoteAddress()
	return a != nil && a.Network() == "pipe"
}

// checkNode admits the node itself, over a pipe in this process, by the secret of this start.
func (a authenticator) checkNode(c server.ClientAuthentication, event *Event) bool {
	b, o := a.b, c.GetOpts()
	if c.Kind() != server.CLIENT || subtle.ConstantTimeCompare([]byte(o.Token), []byte(b.secret)) != 1 {
		event.Code = errSecret.Code
		return false
	}
	event.Kind, event.Principal = Admitted, b.config.Node
	c.RegisterUser(&server.User{Account: b.account, Permissions: permissions(bus.NodePermissions(b.config.Realm))})
	return true
}

// read takes what a client over the network has shown, without judging it.
func read(c server.ClientAuthentication) (presented, error) {
	o, state := c.GetOpts(), c.GetTLSConnectionState()
	if c.Kind() != server.CLIENT || state == nil {
		return presented{}, errNotAClient
	}
	if o.Token == "" || o.Username != "" || o.Password != "" || o.Nkey != "" || o.Sig != "" || o.JWT != "" {
		return presented{}, errLogin
	}
	if len(o.Token) > natsbus.MaxToken {
		return presented{}, errTokenSize
	}
	connect, err := peertls.Peer(*state)
	if err != nil {
		return presented{}, err
	}
	text, invited := strings.CutPrefix(o.Token, natsbus.InvitedPrefix)
	statement, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || base64.RawURLEncoding.EncodeToString(statement) != text { // the decoder passes over line breaks
		return presented{}, errToken
	}
	return presented{statement: statement, invited: invited, connect: connect}, nil
}

// judge asks the gate and checks its answer. With an error, the admission is good for the trail only.
func (b *Broker) judge(shown presented) (Admission, error) {
	now := b.config.Now()
	ask := b.config.Gate.Admit
	if shown.invited {
		ask = b.config.Gate.AdmitInvited
	}
	a, err := ask(shown.statement, shown.connect, now)
	if err != nil {
		return a, err
	}
	if shown.invited {
		a.Expires = min(a.Expires, now+InvitedLife.Milliseconds())
	}
	if a.Expires <= now {
		return a, errExpired
	}
	if a.Principal.IsZero() || a.Rate == 0 || a.Permissions.IsZero() || !ours(a.Permissions, b.config.Realm) ||
		!ours(a.rest(), b.config.Realm) || !a.rest().Within(a.Permissions) {
		return a, errAdmission
	}
	return a, nil
}

// ours reports whether the permissions stay within the realm and are all subjects that the server understands: it
// would skip others silently, and it lets a client that may subscribe to "a.*" subscribe to "a.>".
func ours(p bus.Permissions, realm wire.Realm) bool {
	for _, list := range [][]string{p.Publish, p.Subscribe} {
		for _, s := range list {
			if !bus.ValidPattern(s) || !server.IsValidSubject(s) {
				return false
			}
		}
	}
	for _, s := range p.Subscribe {
		if strings.HasSuffix(s, "*") {
			return false
		}
	}
	return p.Within(bus.NodePermissions(realm))
}

// user returns what the server is told of an admission at now. The deadline runs by the machine's clock from here on.
func (a Admission) user(account *server.Account, now int64) *server.User {
	left := time.Duration(a.Expires-now) * time.Millisecond
	return &server.User{
		Account: account, Permissions: permissions(a.Permissions), ConnectionDeadline: time.Now().Add(left),
	}
}

// rest returns what an admission leaves under a restriction of what its principal may publish.
func (a Admission) rest() bus.Permissions { return bus.Permissions{Publish: a.Restricted} }

// permissions writes p as the server reads it: an empty list of allowed subscriptions would mean all of them, so it
// becomes a denial; responses are never allowed, because they override denials.
func permissions(p bus.Permissions) *server.Permissions {
	out := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: append([]string{}, p.Publish...)},
		Subscribe: &server.SubjectPermission{Allow: append([]string{}, p.Subscribe...)},
	}
	if len(p.Subscribe) == 0 {
		out.Subscribe = &server.SubjectPermission{Deny: []string{">"}}
	}
	return out
}

// swap returns a user that changes permissions and nothing else.
func swap(p bus.Permissions) *server.User { return &server.User{Permissions: permissions(p)} }
