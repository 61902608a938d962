package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/node"
	"github.com/seed-3e86d5b2/conclave/internal/peertls"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/admin"
)

// joinTime bounds how long a new node asks to be admitted.
const joinTime = time.Minute

func (p serverCommands) token() *cobra.Command {
	var life time.Duration
	var cosign string
	c := &cobra.Command{
		Use: "token", Short: "Make a token that lets one more node in", Args: cobra.NoArgs,
		Long: "Print a join token: a secret, good once, until it expires. It names the nodes that the new one asks, and\n" +
			"their keys. Root operators make it; where the realm needs several, each further one adds a signature to the\n" +
			"token with --cosign, and hands on what that prints.",
		Example: "  conclave server token --expires 1h\n" +
			"  conclave --context bob server token --cosign conclave-join-1.TEXT",
		RunE: p.connected(askTime, func(ctx context.Context, s session, _ []string) error {
			if cosign != "" {
				return s.cosignNode(cosign)
			}
			return s.inviteNode(ctx, life)
		}),
	}
	c.Flags().DurationVar(&life, "expires", time.Hour, "how long the token is good, at most 24h")
	c.Flags().StringVar(&cosign, "cosign", "", "`token` of another root, to add your signature to; - for stdin")
	c.MarkFlagsMutuallyExclusive("expires", "cosign")
	return c
}

func (s session) inviteNode(ctx context.Context, life time.Duration) error {
	if life <= 0 || life > identity.MaxJoinTokenLife*time.Millisecond {
		return usage("--expires is more than 0 and at most 24h")
	}
	s.changes()
	i, err := s.Admin().InviteNode(ctx, life)
	if err != nil {
		return err
	}
	return s.tellInvitation(i)
}

func (s session) cosignNode(arg string) error {
	text, err := s.input(arg)
	if err != nil {
		return err
	}
	i, token, err := identity.ParseJoinInvitation(string(text))
	if err != nil {
		return badToken(err)
	}
	s.changes()
	s.say("it lets one node into realm %s until %s, by the nodes at %s", short(i.Realm.String()), stamp(token.Expires),
		list(token.Addresses))
	if err := s.confirm("sign it as " + s.ID().String() + "?"); err != nil {
		return err
	}
	signed, err := s.Admin().CosignNode(string(text))
	if err != nil {
		return err
	}
	return s.tellInvitation(signed)
}

// tellInvitation prints the token, and to a person what to do with it.
func (s session) tellInvitation(i admin.NodeInvitation) error {
	doc := map[string]any{"token": i.Text, "expires": stamp(i.Expires), "addresses": i.Asks, "lacks": i.Lacks}
	return s.emit(doc, func(w io.Writer) {
		fmt.Fprintln(w, i.Text)
		if i.Lacks > 0 {
			s.say("%d more root operators must sign it, each with: conclave server token --cosign TOKEN", i.Lacks)
			return
		}
		if s.terminal(s.stdout) {
			s.say("it is a secret, good once, until %s; on the new machine, with its own addresses:", stamp(i.Expires))
			s.say("  conclave server join TOKEN --data DIR --listen HOST:7415 --cluster HOST:7416")
		}
	})
}

func (p serverCommands) join() *cobra.Command {
	var data string
	var at node.Place
	c := &cobra.Command{
		Use: "join TOKEN|-", Short: "Make this machine a node of an existing realm", Args: cobra.ExactArgs(1),
		Long: "Make a node's key in an empty data directory and have a node of the realm admit it by a join token, which is\n" +
			"made by `conclave server token`. Give the token by stdin (-) where other users of the machine could read\n" +
			"command lines. `conclave server run` then runs the node, which catches up first.\n\n" +
			"A realm needs an odd number of nodes: of 3 one may fail, of 5 two. With 2 or 4 a new node follows, and counts\n" +
			"from when the next one has come.",
		Example: "  conclave server join - --data ./node --listen 10.0.0.2:7415 --cluster 10.0.0.2:7416 < token\n" +
			"  conclave server join TOKEN --data ./b --listen 0.0.0.0:7415 --cluster 0.0.0.0:7416 --advertise b.local",
		RunE: func(c *cobra.Command, args []string) error {
			text, err := p.input(args[0])
			if err != nil {
				return err
			}
			if data, err = dataDir(p.env, data); err != nil {
				return err
			}
			return p.enter(c.Context(), data, strings.TrimSpace(string(text)), at)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data directory, empty (default $XDG_DATA_HOME/conclave)")
	c.Flags().StringVar(&at.Listen, "listen", defaultListen, "host:port for agents and operators")
	c.Flags().StringVar(&at.Cluster, "cluster", "", "host:port for other nodes; their brokers use the next port")
	c.Flags().StringVar(&at.Advertise, "advertise", "", "host that others reach, where cluster is all addresses")
	require(c, "cluster")
	return c
}

// enter makes a node of an existing realm.
func (p serverCommands) enter(ctx context.Context, dir, text string, at node.Place) error {
	i, token, err := identity.ParseJoinInvitation(text)
	if err != nil {
		return badToken(err)
	}
	if err := checkCluster(at.Cluster); err != nil {
		return err
	}
	if err := vacant(dir, i.Realm); err != nil {
		return err
	}
	ctx, cancel := p.within(ctx, joinTime)
	defer cancel()
	p.say("asking %s to be admitted to realm %s", list(token.Addresses), short(i.Realm.String()))
	if _, err := node.Join(ctx, dir, text, at); err != nil {
		return refusedToJoin(err)
	}
	id, err := node.Identity(dir)
	if err != nil {
		return err
	}
	doc := map[string]string{"realm": i.Realm.String(), "node": id.String(), "data": dir, "listen": at.Listen, "cluster": at.Cluster}
	return p.emit(doc, func(w io.Writer) {
		pairs(w, [][2]string{
			{"realm", doc["realm"]}, {"node", doc["node"]}, {"data", dir}, {"listen", at.Listen}, {"cluster", at.Cluster},
		})
		fmt.Fprintf(w, "next: conclave server run --data %s; then see it arrive: conclave cluster members\n", dir)
	})
}

// badToken is a text that is no join token.
func badToken(err error) error {
	return &fault.Error{
		Code: fault.Usage, Message: "this is no whole join token: " + asUsage(err).Error(), Err: err,
		Hint: "copy the one line that `conclave server token` printed; an agent's token goes to: conclave agent enroll",
	}
}

// vacant refuses a directory in which a realm is, and says which.
func vacant(dir string, wanted sdk.Realm) error {
	d, err := readGenesis(dir)
	switch {
	case errors.Is(err, node.ErrNotInitialised):
		return nil
	case err != nil:
		return err
	case d.realm == wanted:
		return fault.New(fault.Conflict, dir+" holds a node of this realm already").
			WithHint("run it: conclave server run --data " + dir + "; for one more node, name another directory by --data")
	}
	return fault.New(fault.Conflict, fmt.Sprintf("%s holds a node of another realm, %s", dir, short(d.realm.String()))).
		WithHint("name an empty directory: --data DIR")
}

// refusedToJoin says what to do about a refusal by the realm's nodes.
func refusedToJoin(err error) error {
	const again = "have a root operator make another: conclave server token"
	hint := ""
	switch {
	case errors.Is(err, peertls.ErrPin):
		hint = "somebody else answers there, or the token was altered: get it again from a root operator, by a way you trust"
	case errors.Is(err, wire.ErrTooFew), fault.CodeOf(err) == fault.NoQuorum:
		hint = "too few root operators have signed the token; each further one runs: conclave server token --cosign TOKEN"
	case fault.CodeOf(err) == fault.Spent:
		hint = "a token lets one node in; " + again
	case fault.CodeOf(err) == fault.Expired:
		hint = again
	case fault.CodeOf(err) == fault.WrongRealm:
		hint = "the nodes at these addresses are of another realm: " + again + ", in the realm's own context"
	default:
		return err
	}
	return &fault.Error{Code: fault.CodeOf(err), Message: err.Error(), Hint: hint, Err: err}
}
