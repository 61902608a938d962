package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// agentCommands are what stands under `conclave agent`.
type agentCommands struct{ *program }

func (p agentCommands) group() *cobra.Command {
	return group("agent", "Let agents in, look at them, silence them",
		"An operator makes a token for each agent; the agent redeems it once, with a key that never leaves it.",
		"  conclave agent token --name writer --serves 'text.*' | ssh host conclave agent enroll -",
		p.token(), p.enroll(), p.ls(), p.show(), p.quarantine(), p.release(),
		p.revoke(), p.grant())
}

func (p agentCommands) token() *cobra.Command {
	var name, level, parent string
	var serves []string
	var life time.Duration
	c := &cobra.Command{
		Use: "token", Short: "Make a token that lets one agent in", Args: cobra.NoArgs,
		Long: "Print an enrolment token: a secret, good once, until it expires. The level is the one that the policy\n" +
			"lets one operator give, unless --level says less. Without --serves the agent may call, but serve\n" +
			"nothing. With --parent it acts on behalf of another agent of yours: its level stays below that agent's,\n" +
			"and falls with it.",
		Example: "  conclave agent token --name writer --level L2 --serves 'text.*' --expires 1h",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			return s.invite(ctx, identity.Token{Name: name, Serves: serves}, level, parent, life)
		}),
	}
	c.Flags().StringVar(&name, "name", "", "name of the agent: a-z, 0-9 and -")
	c.Flags().StringVar(&level, "level", "", "autonomy level L1 to L5")
	c.Flags().StringVar(&parent, "parent", "", "`agent` of yours on whose behalf it acts")
	c.Flags().StringArrayVar(&serves, "serves", nil, `capability it may serve, as text.summarise, text.* or *; may be repeated`)
	c.Flags().DurationVar(&life, "expires", time.Hour, "how long the token is good, at most 168h")
	require(c, "name")
	return c
}

// invite makes a token for an agent as t names it, at the level given or the one that one operator may give.
func (s session) invite(ctx context.Context, t identity.Token, level, parent string, life time.Duration) error {
	if err := asUsage(identity.CheckName(t.Name)); err != nil {
		return err
	}
	l := s.Admin().Policy().Enrol
	if level != "" {
		var err error
		if l, err = identity.ParseLevel(level); err != nil {
			return asUsage(err)
		}
	}
	serves, err := patterns(t.Serves)
	if err != nil {
		return err
	}
	if life <= 0 || life > identity.MaxTokenLife*time.Millisecond {
		return usage("--expires is more than 0 and at most 168h")
	}
	s.changes()
	token, l, err := s.token(ctx, t.Name, l, level != "", serves, parent, life)
	if err != nil {
		return err
	}
	doc := map[string]any{
		"token": token, "name": t.Name, "level": l, "serves": serves, "expires": stamp(time.Now().Add(life).UnixMilli()),
	}
	return s.emit(doc, func(w io.Writer) { fmt.Fprintln(w, token) })
}

// token makes the token. A child's level is at most the one below its parent's, unless the caller asked for a level.
func (s session) token(
	ctx context.Context, name string, l identity.Level, asked bool, serves []string, parent string, life time.Duration,
) (string, identity.Level, error) {
	if parent == "" {
		token, err := s.Admin().Invite(name, l, serves, life)
		return token, l, err
	}
	who, err := s.who(ctx, parent)
	if err != nil {
		return "", l, err
	}
	if who.Level <= identity.Observer {
		return "", l, usageHint(fmt.Sprintf("%s is at %s: an agent that acts for it would have no level", visible(who.Name), who.Level),
			"see what it lacks: conclave trust explain "+visible(who.Name))
	}
	if !asked {
		l = min(l, who.Level-1)
	}
	token, err := s.Admin().InviteChild(who.ID, name, l, serves, life)
	return token, l, err
}

// patterns returns capability patterns sorted, each once.
func patterns(given []string) ([]string, error) {
	list := slices.Compact(slices.Sorted(slices.Values(given)))
	if list == nil {
		list = []string{}
	}
	return list, asUsage(identity.CheckCapabilities(list))
}

func (p agentCommands) enroll() *cobra.Command {
	var key, name string
	c := &cobra.Command{
		Use: "enroll TOKEN|-", Short: "Redeem a token: make the agent's key and its context", Args: cobra.ExactArgs(1),
		Long: "Make the agent's key on this machine, enrol it by the token, and write and select a context. Give the\n" +
			"token by stdin (-) where other users of the machine could read command lines.",
		Example: "  conclave agent enroll - < token\n  conclave agent enroll TOKEN --key ./writer.key",
		RunE: func(c *cobra.Command, args []string) error {
			text, err := p.input(args[0])
			if err != nil {
				return err
			}
			return p.redeem(c.Context(), strings.TrimSpace(string(text)), key, name)
		},
	}
	c.Flags().StringVar(&key, "key", "", "file for the agent's new key (default among your keys)")
	c.Flags().StringVar(&name, "context-name", "", "context to write (default the agent's name)")
	return c
}

func (p agentCommands) redeem(ctx context.Context, text, key, contextName string) error {
	_, token, err := identity.ParseInvitation(text)
	if err != nil {
		return asUsage(err)
	}
	if contextName == "" {
		contextName = token.Name
	}
	store, err := newContext(contextName)
	if err != nil {
		return err
	}
	if key, err = keyPath(p.env, key, contextName); err != nil {
		return err
	}
	ctx, cancel := p.within(ctx, askTime)
	defer cancel()
	signer, profile, err := sdk.Enrol(ctx, text, sdk.KeepKey(key))
	if err != nil {
		return err
	}
	c := realmContext(profile.Realm, profile.Addresses, profile.Pins, key, signer.ID())
	if err := keep(store, contextName, c); err != nil {
		return err
	}
	doc := map[string]any{
		"agent": signer.ID(), "name": token.Name, "level": token.Level, "realm": profile.Realm.String(),
		"key": key, "context": contextName,
	}
	return p.emit(doc, func(w io.Writer) {
		pairs(w, [][2]string{
			{"agent", signer.ID().String()}, {"name", token.Name}, {"level", token.Level.String()}, {"realm", profile.Realm.String()},
			{"key", key}, {"context", contextName + ", selected"},
		})
	})
}

// memberDoc is one principal of the list, its times as texts.
type memberDoc struct {
	admin.Member
	Joined string `json:"joined"`
}

// membersOf returns the members of a role, by name.
func (s session) membersOf(ctx context.Context, role identity.Role) ([]memberDoc, error) {
	members, err := s.Admin().Members(ctx)
	if err != nil {
		return nil, err
	}
	docs := []memberDoc{}
	for _, m := range members {
		if m.ID.Role() == role {
			docs = append(docs, memberDoc{m, stamp(m.Joined)})
		}
	}
	return docs, nil
}

func (p agentCommands) ls() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the agents", Args: cobra.NoArgs, Example: "  conclave agent ls --json",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			docs, err := s.membersOf(ctx, identity.Agent)
			if err != nil {
				return err
			}
			return s.emit(map[string]any{"agents": docs}, func(w io.Writer) {
				var rows [][]string
				for _, m := range docs {
					rows = append(rows, []string{
						visible(m.Name), m.Level.String(), visible(m.Status), fmt.Sprint(m.Live), fmt.Sprint(m.Done),
						fmt.Sprint(m.Failed), list(m.Serves), m.ID.String(),
					})
				}
				table(w, []string{"NAME", "LEVEL", "STATUS", "CONNECTED", "DONE", "FAILED", "SERVES", "AGENT"}, rows)
			})
		}),
	}
}

// agentDoc is one principal: the first part verified, the rest as the node tells it.
type agentDoc struct {
	sdk.Peer
	Word      string      `json:"level_name"`
	Record    *memberDoc  `json:"record,omitempty"`
	Processes []sdk.Found `json:"processes"`
}

// look fetches what is known of a principal, by name or nkey.
func (s session) look(ctx context.Context, name string) (agentDoc, error) {
	peer, err := s.who(ctx, name)
	if err != nil {
		return agentDoc{}, err
	}
	d := agentDoc{Peer: peer, Word: peer.Level.Word(), Processes: []sdk.Found{}}
	members, err := s.membersOf(ctx, peer.ID.Role())
	if err != nil {
		return agentDoc{}, err
	}
	if i := slices.IndexFunc(members, func(m memberDoc) bool { return m.ID == peer.ID }); i >= 0 {
		d.Record = &members[i]
	}
	for f, err := range s.Discover(ctx, sdk.Query{Agent: peer.ID.String()}) {
		if err != nil {
			return agentDoc{}, err
		}
		d.Processes = append(d.Processes, f)
	}
	return d, nil
}

// who asks for a principal that was typed.
func (s session) who(ctx context.Context, name string) (sdk.Peer, error) {
	if _, err := identity.ParseID(name); err != nil {
		if err := asUsage(identity.CheckName(name)); err != nil {
			return sdk.Peer{}, err
		}
	}
	return s.Who(ctx, name)
}

func (p agentCommands) show() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one agent", Args: cobra.ExactArgs(1), Example: "  conclave agent show writer",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			d, err := s.look(ctx, args[0])
			if err != nil {
				return err
			}
			return s.emit(d, func(w io.Writer) { d.write(w) })
		}),
	}
}

func (d agentDoc) write(w io.Writer) {
	rows := [][2]string{
		{"name", visible(d.Name)}, {"agent", d.ID.String()}, {"operator", d.Operator.String()},
		{"level", d.Level.String() + " " + d.Word}, {"status", visible(d.Status)},
	}
	if r := d.Record; r != nil {
		rows = append(rows, [2]string{"may serve", list(r.Serves)}, [2]string{"joined", r.Joined},
			[2]string{"outcomes", fmt.Sprintf("%d done, %d failed", r.Done, r.Failed)}, [2]string{"family", visible(r.Family)})
		if r.Calibration > 0 {
			rows = append(rows, [2]string{"calibration", fmt.Sprintf("%d‰, from %d settled votes", r.Calibration, r.Settled)})
		}
		if r.Reason != "" {
			rows = append(rows, [2]string{"reason", quoted(r.Reason)})
		}
	}
	for _, f := range d.Processes {
		rows = append(rows, [2]string{"process", short(f.Process.String()) + " serves " + list(capabilityNames(f))})
	}
	pairs(w, rows)
}

// loosening is the flags of a command that may need several operators' signatures.
type loosening struct{ out, reason string }

func (l *loosening) flags(c *cobra.Command) {
	c.Flags().StringVar(&l.reason, "reason", "", "why, for the record; at most 256 bytes")
	c.Flags().StringVar(&l.out, "out", "", "`file` for the signed command, for others to sign; it is not handed in")
}

func (p agentCommands) quarantine() *cobra.Command {
	var l loosening
	c := p.status("quarantine", "Silence an agent at once", trust.Quarantined, &l)
	c.Flags().StringVar(&l.reason, "reason", "", "why, for the record; at most 256 bytes")
	require(c, "reason")
	return c
}

func (p agentCommands) release() *cobra.Command {
	var l loosening
	c := p.status("release", "End an agent's quarantine", trust.Active, &l)
	l.flags(c)
	return c
}

func (p agentCommands) revoke() *cobra.Command {
	var l loosening
	c := p.status("revoke", "Shut an agent out for ever", trust.Revoked, &l)
	c.Flags().StringVar(&l.reason, "reason", "", "why, for the record; at most 256 bytes")
	require(c, "reason")
	return c
}

// statusCommand returns the command that gives a principal the status.
func (p agentCommands) status(verb, short string, status trust.Status, l *loosening) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
		Example: "  conclave agent " + verb + " writer --reason 'seen to leak addresses'",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			who, err := s.who(ctx, args[0])
			if err != nil {
				return err
			}
			if status == trust.Revoked {
				if err := s.confirm("shut " + visible(who.Name) + " out for ever?"); err != nil {
					return err
				}
			}
			body := registry.SetStatus{Principal: who.ID, Status: status, Reason: l.reason}
			return s.change(ctx, change{
				typ: registry.TypeStatus, body: body, of: who.ID, loosens: status == trust.Active, out: l.out,
			})
		}),
	}
}

// serves returns what a member may serve now.
func (s session) serves(ctx context.Context, who sdk.Peer) ([]string, error) {
	docs, err := s.membersOf(ctx, who.ID.Role())
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(docs, func(m memberDoc) bool { return m.ID == who.ID }); i >= 0 {
		return append([]string{}, docs[i].Serves...), nil
	}
	return []string{}, nil
}

func (p agentCommands) grant() *cobra.Command {
	var family string
	var made []string
	c := &cobra.Command{
		Use: "grant NAME [PATTERN]...", Short: "Replace what an agent may serve", Args: cobra.MinimumNArgs(1),
		Long: "Replace the capability patterns that an agent of yours may serve; none: it may serve nothing.\n" +
			"\n" +
			"--family says of which model family it is: decisions of some classes need voters of several. With\n" +
			"--family and no pattern, what it may serve stays as it is.\n" +
			"\n" +
			"--made-of names files that say what the agent is made of: its model, prompt, tools. Their digest is\n" +
			"kept: the level was earned by what the agent was made of, so when the digest changes, it costs a level.",
		Example: "  conclave agent grant writer 'text.*' review.code\n  conclave agent grant checker --family gpt\n" +
			"  conclave agent grant writer --made-of model.txt --made-of prompt.md --made-of tools.json",
		RunE: p.connected(askTime, func(ctx context.Context, s session, args []string) error {
			serves, err := patterns(args[1:])
			if err != nil {
				return err
			}
			if family != "" {
				if err := asUsage(identity.CheckCapability(family)); err != nil {
					return err
				}
			}
			who, err := s.who(ctx, args[0])
			if err != nil {
				return err
			}
			make, err := digestOf(made)
			if err != nil {
				return err
			}
			if (family != "" || make != nil) && len(serves) == 0 {
				if serves, err = s.serves(ctx, who); err != nil {
					return err
				}
			}
			return s.change(ctx, change{
				typ: registry.TypeGrant, body: registry.Grant{Principal: who.ID, Serves: serves, Family: family, Make: make}, of: who.ID,
			})
		}),
	}
	c.Flags().StringArrayVar(&made, "made-of", nil, "`file` that says what it is made of; may be repeated, the order counts")
	c.Flags().StringVar(&family, "family", "", "its model family, written like a capability; none: as it was")
	return c
}

// digestOf returns the SHA-256 of the files' SHA-256 joined; nil for no file.
func digestOf(paths []string) (*sdk.Digest, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	var joined []byte
	for _, path := range paths {
		one, err := fileDigest(path)
		if err != nil {
			return nil, err
		}
		joined = append(joined, one[:]...)
	}
	all := wire.Hash(joined)
	return &all, nil
}
