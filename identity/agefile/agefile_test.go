package agefile_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/identity/agefile"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

var (
	seed = [32]byte{1, 2, 3}
	key  = wire.NewKey(seed)
	id   = identity.NewID(identity.Agent, key.Public())
	// inception is another principal, whose newer key the seed may be.
	inception = identity.NewID(identity.Agent, wire.NewKey([32]byte{9}).Public())
)

func says(s string) agefile.Passphrase { return func() ([]byte, error) { return []byte(s), nil } }

func unasked(t *testing.T) agefile.Passphrase {
	return func() ([]byte, error) {
		t.Error("a passphrase was asked for")
		return nil, io.EOF
	}
}

func seedText(t *testing.T) string {
	t.Helper()
	text, err := identity.EncodeSeed(identity.Agent, seed)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func wantCode(t *testing.T, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != want {
		t.Errorf("got code %q (%v), want %q", got, err, want)
	}
}

// write puts content into a new private file and returns its path.
func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSaveAndLoad(t *testing.T) {
	for _, row := range []struct {
		name           string
		id             identity.ID
		saving, asking agefile.Passphrase
	}{
		{"in the clear", id, nil, nil},
		{"in the clear, passphrase not asked for", id, nil, unasked(t)},
		{"encrypted", id, says("correct horse"), says("correct horse")},
		{"successor", inception, nil, nil},
		{"successor, encrypted", inception, says("p"), says("p")},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := agefile.SaveFast(path, row.id, seed, row.saving); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			content, err := os.ReadFile(path)
			if err != nil || bytes.Contains(content, []byte(seedText(t))) != (row.saving == nil) {
				t.Errorf("the file holds %q, %v", content, err)
			}
			s, err := agefile.Load(path, row.asking)
			if err != nil || s.ID() != row.id || s.Public() != key.Public() {
				t.Errorf("loaded %s, %v", s.ID(), err)
			}
		})
	}
}

func TestSaveOfEachRole(t *testing.T) {
	for _, role := range []identity.Role{identity.Agent, identity.Node, identity.Operator} {
		path := filepath.Join(t.TempDir(), "key")
		if err := agefile.Save(path, role, seed, nil); err != nil {
			t.Fatal(err)
		}
		s, err := agefile.Load(path, nil)
		if err != nil || s.ID() != identity.NewID(role, key.Public()) {
			t.Errorf("loaded %s, %v", s.ID(), err)
		}
	}
	path := filepath.Join(t.TempDir(), "key")
	wantCode(t, agefile.Save(path, 'A', seed, nil), fault.Malformed)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file was left after an error")
	}
}

func TestSaveNeverReplaces(t *testing.T) {
	path := write(t, []byte("precious"))
	wantCode(t, agefile.Save(path, identity.Agent, seed, nil), fault.Usage)
	if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
		t.Errorf("the file now holds %q, %v", content, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	target := filepath.Join(t.TempDir(), "target")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	wantCode(t, agefile.Save(link, identity.Agent, seed, nil), fault.Usage)
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a dangling link was followed")
	}
}

func TestSaveWithoutAPassphraseLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	wantCode(t, agefile.SaveFast(path, id, seed, says("")), fault.Usage)
	broken := errors.New("no terminal")
	err := agefile.SaveFast(path, id, seed, func() ([]byte, error) { return nil, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := agefile.Save(filepath.Join(path, "missing", "key"), identity.Agent, seed, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file was left after an error")
	}
}

func TestPassphraseIsOverwritten(t *testing.T) {
	secret := []byte("secret")
	path := filepath.Join(t.TempDir(), "key")
	if err := agefile.SaveFast(path, id, seed, func() ([]byte, error) { return secret, nil }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(secret, make([]byte, 6)) {
		t.Errorf("still %q", secret)
	}
}

// sealed encrypts content as age does for the recipient.
func sealed(t *testing.T, content string, recipient age.Recipient, armored bool) []byte {
	t.Helper()
	var out bytes.Buffer
	var into io.WriteCloser = struct {
		io.Writer
		io.Closer
	}{&out, io.NopCloser(nil)}
	if armored {
		into = armor.NewWriter(&out)
	}
	w, err := age.Encrypt(into, recipient)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(w, content)
	if err := errors.Join(err, w.Close(), into.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func scrypt(t *testing.T, factor int) age.Recipient {
	t.Helper()
	r, err := age.NewScryptRecipient("p")
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(factor)
	return r
}

func TestLoadPlain(t *testing.T) {
	good := seedText(t)
	principal := "# principal " + inception.String() + "\n"
	node := strings.Replace(principal, inception.String(), identity.NewID(identity.Node, inception.Key()).String(), 1)
	for _, row := range []struct {
		name, content string
		id            identity.ID
		want          fault.Code
	}{
		{"seed alone", good, id, ""},
		{"seed and newline", good + "\n", id, ""},
		{"Windows line ends", "# mine\r\n" + good + "\r\n", id, ""},
		{"comments and blank lines", "# mine\n\n" + good + "\n\n#", id, ""},
		{"principal line", principal + good, inception, ""},
		{"principal line after the seed", good + "\n" + principal, inception, ""},
		{"nothing", "", identity.ID{}, fault.Malformed},
		{"comment alone", "# " + good, identity.ID{}, fault.Malformed},
		{"two seeds", good + "\n" + good, identity.ID{}, fault.Malformed},
		{"cut", good[:len(good)-1], identity.ID{}, fault.Malformed},
		{"two principals", principal + principal + good, identity.ID{}, fault.Malformed},
		{"principal of another role", node + good, identity.ID{}, fault.Malformed},
		{"principal unreadable", "# principal " + good + "\n" + good, identity.ID{}, fault.Malformed},
		{"too long", good + strings.Repeat("\n", 16<<10), identity.ID{}, fault.Malformed},
		{"something else", "-----BEGIN PRIVATE KEY-----\n", identity.ID{}, fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := agefile.Load(write(t, []byte(row.content)), unasked(t))
			wantCode(t, err, row.want)
			if s.ID() != row.id {
				t.Errorf("loaded %s, want %s", s.ID(), row.id)
			}
			if err != nil && strings.Contains(err.Error(), good[:20]) {
				t.Errorf("the error shows the seed: %v", err)
			}
		})
	}
}

func TestLoadEncrypted(t *testing.T) {
	text := seedText(t) + "\n"
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	good := sealed(t, text, scrypt(t, 4), true)
	flipped := sealed(t, text, scrypt(t, 4), false)
	flipped[len(flipped)-1] ^= 1
	for _, row := range []struct {
		name       string
		content    []byte
		passphrase agefile.Passphrase
		want       fault.Code
	}{
		{"armoured", good, says("p"), ""},
		{"binary", sealed(t, text, scrypt(t, 4), false), says("p"), ""},
		{"wrong passphrase", good, says("q"), fault.Denied},
		{"no passphrase", good, nil, fault.Usage},
		{"empty passphrase", good, says(""), fault.Usage},
		{"to a recipient's key", sealed(t, text, other.Recipient(), true), says("p"), fault.Denied},
		{"changed", flipped, says("p"), fault.Malformed},
		{"cut", good[:len(good)/2], says("p"), fault.Malformed},
		{"header alone", []byte(armor.Header + "\n"), says("p"), fault.Malformed},
		{"no seed inside", sealed(t, "# nothing", scrypt(t, 4), true), says("p"), fault.Malformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := agefile.Load(write(t, row.content), row.passphrase)
			wantCode(t, err, row.want)
			if (err == nil) != (s.ID() == id) {
				t.Errorf("loaded %s with %v", s.ID(), err)
			}
		})
	}
}

func TestLoadRefusesTooMuchWork(t *testing.T) {
	// Only the number in the header is raised: the file is refused before the work is done.
	raised := bytes.Replace(sealed(t, seedText(t), scrypt(t, 4), false), []byte(" 4\n"), []byte(" 21\n"), 1)
	_, err := agefile.Load(write(t, raised), says("p"))
	wantCode(t, err, fault.Malformed)
}

func TestLoadRefusesFilesOthersMayRead(t *testing.T) {
	path := write(t, []byte(seedText(t)))
	for mode, want := range map[fs.FileMode]fault.Code{
		0o600: "", 0o400: "", 0o640: fault.LooseMode, 0o604: fault.LooseMode, 0o620: fault.LooseMode, 0o700: fault.LooseMode,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := agefile.Load(path, nil)
		wantCode(t, err, want)
		if hint := fault.HintOf(err); (hint == "chmod 600 "+path) != (want != "") {
			t.Errorf("hint %q", hint)
		}
	}
}

func TestLoadWithoutAFile(t *testing.T) {
	_, err := agefile.Load(filepath.Join(t.TempDir(), "key"), nil)
	wantCode(t, err, fault.NotFound)
	_, err = agefile.Load(t.TempDir(), nil)
	wantCode(t, err, fault.Malformed)
}
