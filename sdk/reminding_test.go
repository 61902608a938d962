package sdk_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/control"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
	"github.com/seed-3e86d5b2/conclave/registry"
	"github.com/seed-3e86d5b2/conclave/sdk"
	"github.com/seed-3e86d5b2/conclave/sdk/code"
	"github.com/seed-3e86d5b2/conclave/sdk/sdktest"
	"github.com/seed-3e86d5b2/conclave/trust"
)

// saidBefore signs a command that the realm has never had, as one that it has lost.
func saidBefore(t *testing.T, realm *sdktest.Realm, by identity.Signer, typ registry.Type, body any) []byte {
	t.Helper()
	var nonce [16]byte
	binary.BigEndian.PutUint64(nonce[:], uint64(time.Now().UnixNano()))
	c, err := registry.New(by.ID(), typ, body, nonce, time.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := by.Cosign(realm.ID(), c)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Millisecond) // the next one is issued later
	return raw
}

func quarantineOf(id sdk.ID) registry.SetStatus {
	return registry.SetStatus{Principal: id, Status: trust.Quarantined, Reason: "lost"}
}

// remembers puts commands where an agent with the state directory keeps what it was shown.
func remembers(t *testing.T, stateDir string, commands ...[]byte) {
	t.Helper()
	raw, err := registry.Kept{Commands: commands}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stateDir+".tightenings", raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// held returns what stands in an agent's file.
func held(t *testing.T, stateDir string) [][]byte {
	t.Helper()
	raw, err := os.ReadFile(stateDir + ".tightenings")
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	kept, err := registry.ParseKept(raw)
	if err != nil {
		t.Fatal(err)
	}
	return kept.Commands
}

// looked waits until agents have looked at what is in force, in the bubble's time.
func looked() {
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

func vouched(t *testing.T, a *sdk.Agent, name string) sdk.Peer {
	t.Helper()
	p, err := a.Who(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// An agent that connects to a realm that has lost what the agent remembers reminds it, and forgets what is refused.
func TestAgentRemindsTheRealm(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		worker, other, state := realm.Agent(t, "worker"), realm.Agent(t, "other"), filepath.Join(t.TempDir(), "spent")
		root := realm.OperatorProfile(0).Signer
		signer := realm.Profile(t, "other").Signer
		quarantine := saidBefore(t, realm, root, registry.TypeStatus, quarantineOf(worker.ID()))
		lower := saidBefore(t, realm, root, registry.TypeLevel, registry.SetLevel{Principal: other.ID(), Level: 2})
		epoch := saidBefore(t, realm, signer, registry.TypeEpoch, registry.RaiseEpoch{Principal: other.ID(), Epoch: 1})
		forged := saidBefore(t, realm, signer, registry.TypeStatus, quarantineOf(worker.ID()))
		remembers(t, state, quarantine, forged, lower, epoch)
		innocent := realm.Agent(t, "innocent", sdktest.StateDir(state))
		looked()
		if p := vouched(t, innocent, "worker"); p.Status != "quarantined" {
			t.Errorf("worker is %+v", p)
		}
		if p := vouched(t, innocent, "other"); p.Level != 2 {
			t.Errorf("other is %+v", p)
		}
		if got := held(t, state); len(got) != 3 {
			t.Errorf("%d are held", len(got))
		}
		realm.Release(t, "worker")
		looked()
		if p := vouched(t, innocent, "worker"); p.Status != "active" {
			t.Errorf("after the release the worker is %+v", p)
		}
		if got := held(t, state); len(got) != 2 {
			t.Errorf("after the release %d are held", len(got))
		}
	})
}

// What nodes show is remembered only if somebody signed it who may, beside the state directory.
func TestAgentRemembersWhatNodesShow(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		state := filepath.Join(t.TempDir(), "spent")
		realm.Agent(t, "worker")
		watcher := realm.Agent(t, "watcher", sdktest.StateDir(state))
		looked()
		if got := held(t, state); got != nil {
			t.Fatalf("%d are held before anything happened", len(got))
		}
		realm.Quarantine(t, "worker")
		looked()
		got := held(t, state)
		if len(got) != 1 {
			t.Fatalf("%d are held", len(got))
		}
		c, says, err := registry.ParseTightening(got[0])
		if err != nil || says.Status != trust.Quarantined || c.Claim.Author != realm.OperatorProfile(0).Signer.ID() {
			t.Errorf("held is %+v, %v", says, err)
		}
		if err := watcher.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		realm.Agent(t, "watcher", sdktest.StateDir(state)) // what it holds is in force: nothing changes
		looked()
		if again := held(t, state); len(again) != 1 || !slices.Equal(again[0], got[0]) {
			t.Errorf("then %d are held", len(again))
		}
	})
}

// No more than 64 are kept: the newest, and what the agent signed itself.
func TestAgentKeepsTheNewest(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		state, root := filepath.Join(t.TempDir(), "spent"), realm.OperatorProfile(0).Signer
		keeper := realm.Agent(t, "keeper")
		commands := [][]byte{saidBefore(t, realm, realm.Profile(t, "keeper").Signer, registry.TypeEpoch,
			registry.RaiseEpoch{Principal: keeper.ID(), Epoch: 2})}
		for range 70 { // of principals that are not enrolled yet
			stranger, _, err := identity.GenerateSigner(identity.Agent)
			if err != nil {
				t.Fatal(err)
			}
			commands = append(commands, saidBefore(t, realm, root, registry.TypeStatus, quarantineOf(stranger.ID())))
		}
		remembers(t, state, commands...)
		realm.Agent(t, "keeper", sdktest.StateDir(state))
		looked()
		got := held(t, state)
		if len(got) != 64 || !slices.Equal(got[0], commands[0]) || !slices.Equal(got[1], commands[8]) || !slices.Equal(got[63], commands[70]) {
			t.Errorf("%d are held", len(got))
		}
	})
}

// A file that is none, or that others can read, keeps nobody from connecting.
func TestSpoiltFileOfTightenings(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		state := filepath.Join(t.TempDir(), "spent")
		realm.Agent(t, "worker")
		if err := os.WriteFile(state+".tightenings", []byte("junk"), 0o600); err != nil {
			t.Fatal(err)
		}
		var seen codes
		realm.Agent(t, "watcher", sdktest.StateDir(state), seen.option())
		if got := seen.take(); !slices.Contains(got, string(code.Malformed)) {
			t.Errorf("the log has %q", got)
		}
		realm.Quarantine(t, "worker")
		looked()
		if got := held(t, state); len(got) != 1 {
			t.Errorf("%d are held", len(got))
		}
	})
}

// An operator keeps what it hands in, and can show the realm all of it, and what a file holds.
func TestOperatorReminds(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		worker, other := realm.Agent(t, "worker"), realm.Agent(t, "other")
		profile := realm.OperatorProfile(0)
		profile.StateDir = filepath.Join(t.TempDir(), "operator.key.spent")
		operator, err := sdk.Connect(t.Context(), sdk.WithProfile(profile), sdk.Over(realm.Transport()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = operator.Close(t.Context()) }()
		raw, err := operator.Admin().Prepare(registry.TypeStatus, quarantineOf(worker.ID()), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := operator.Admin().Submit(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
		kept, err := operator.Admin().Remembered()
		if err != nil || len(kept) != 1 || len(held(t, profile.StateDir)) != 1 {
			t.Fatalf("%d are kept, %v", len(kept), err)
		}
		lost := saidBefore(t, realm, profile.Signer, registry.TypeStatus, quarantineOf(other.ID()))
		forged := saidBefore(t, realm, realm.Profile(t, "worker").Signer, registry.TypeLevel,
			registry.SetLevel{Principal: other.ID(), Level: 1})
		done, err := operator.Admin().Remind(t.Context(), append(kept, forged, lost, lost))
		if err != nil || len(done) != 3 {
			t.Fatalf("%+v, %v", done, err)
		}
		if done[0].News || done[0].Err != nil || done[0].Tightening.Principal != worker.ID() {
			t.Errorf("what is in force: %+v", done[0])
		}
		if !done[1].News && !done[2].News || done[1].News && done[2].News {
			t.Errorf("one is news: %+v", done)
		}
		refused := done[1]
		if refused.News {
			refused = done[2]
		}
		if got := fault.CodeOf(refused.Err); got != fault.Quarantined && got != fault.Denied {
			t.Errorf("the forged one: %+v", refused)
		}
		if _, err := operator.Admin().Remind(t.Context(), [][]byte{[]byte("junk")}); sdk.CodeOf(err) != code.Malformed {
			t.Errorf("junk: %v", err)
		}
		if p := vouched(t, operator, "other"); p.Status != "quarantined" {
			t.Errorf("other is %+v", p)
		}
	})
}

// tighteningsInstead has the node tell other commands than those in force.
func tighteningsInstead(t *testing.T, commands ...[]byte) func(sdktest.Packet) []sdktest.Packet {
	return func(p sdktest.Packet) []sdktest.Packet {
		var r control.Reply
		var told control.InForce
		if wire.Decode(p.Data, &r) != nil || wire.Decode(r.Body, &told) != nil || len(told.Commands) == 0 {
			return []sdktest.Packet{p}
		}
		told.Commands = commands
		body, err := wire.Encode(told)
		if err != nil {
			t.Error(err)
		}
		r.Body = body
		if p.Data, err = wire.Encode(r); err != nil {
			t.Error(err)
		}
		return []sdktest.Packet{p}
	}
}

// A node that lies about what is in force is believed nothing that no operator signed.
func TestAgentBelievesNoNodeAboutTightenings(t *testing.T) {
	in(t, func(t *testing.T, realm *sdktest.Realm) {
		worker, state := realm.Agent(t, "worker"), filepath.Join(t.TempDir(), "spent")
		mallory := realm.Profile(t, "worker").Signer
		forged := saidBefore(t, realm, mallory, registry.TypeStatus, quarantineOf(worker.ID()))
		c, _, err := registry.ParseTightening(forged)
		if err != nil {
			t.Fatal(err)
		}
		stolen := c.Claim
		stolen.Author = realm.OperatorProfile(0).Signer.ID()
		other, err := wire.Cosign(realm.ID(), stolen, mallory.Key())
		if err != nil {
			t.Fatal(err)
		}
		realm.Quarantine(t, "worker")
		realm.Intercept(tighteningsInstead(t, forged, other))
		realm.Agent(t, "watcher", sdktest.StateDir(state))
		looked()
		if got := held(t, state); len(got) != 0 {
			t.Errorf("%d are held", len(got))
		}
		realm.Intercept(nil)
		realm.SetLevel(t, "worker", 1)
		looked()
		if got := held(t, state); len(got) != 2 {
			t.Errorf("%d are held of the true ones", len(got))
		}
	})
}
