// Package agefile keeps a principal's identity key in a private file: as nkey seed text, or encrypted by a passphrase
// with age (age-encryption.org/v1, scrypt).
//
// [Save] writes a new file and never replaces one; [Load] reads either form, recognised by its content, and refuses a
// file that others may read. The text, inside the encryption if there is one, is
//
//	# conclave agent key. Whoever reads it acts as the principal below.
//	# principal UABC…
//	SUABC…
//
// Other lines that begin with # are comments. Without a principal line the key is its own inception key.
//
// Go cannot promise that memory is wiped: the seed and the passphrase may stay in the process's memory until it ends.
package agefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/seed-3e86d5b2/conclave/identity"
	"github.com/seed-3e86d5b2/conclave/internal/datadir"
	"github.com/seed-3e86d5b2/conclave/internal/fault"
	"github.com/seed-3e86d5b2/conclave/internal/wire"
)

const (
	maxFile       = 16 << 10 // bytes
	workFactor    = 18       // of scrypt, log2 of N: about a second
	maxWorkFactor = 20       // a file that asks for more memory (1 GiB) and time is refused
	principalLine = "# principal "
	binaryPrefix  = "age-encryption.org/"
)

var (
	// ErrExists is returned by [Save] when there is a file at the path.
	ErrExists = fault.New(fault.Usage, "agefile: a file is there already; it is not replaced")
	// ErrNotFound is returned by [Load] when there is no file at the path.
	ErrNotFound = fault.New(fault.NotFound, "agefile: no key file")
	// ErrLooseMode is returned by [Load] when others may read the file.
	ErrLooseMode = fault.New(fault.LooseMode, "agefile: others may read the key file")
	// ErrNoPassphrase is returned when a passphrase is needed and none, or an empty one, was given.
	ErrNoPassphrase = fault.New(fault.Usage, "agefile: the key file needs a passphrase")
	// ErrWrongPassphrase is returned by [Load] when the passphrase does not open the file, or the file was not
	// encrypted by one.
	ErrWrongPassphrase = fault.New(fault.Denied, "agefile: the passphrase does not open the key file")
	// ErrMalformed is returned by [Load] when the file holds no key, or more than one.
	ErrMalformed = fault.New(fault.Malformed, "agefile: not a key file")
)

// Passphrase asks for a passphrase. It is called at most once, and only when one is needed; what it returns is
// overwritten afterwards.
type Passphrase func() ([]byte, error)

// Save writes the seed of a new principal of the role to a new file at path, mode 0600, and makes it durable. A nil
// passphrase leaves it in the clear. Errors: [ErrExists], [ErrNoPassphrase], those of passphrase and the file system;
// after an error there is no file.
func Save(path string, role identity.Role, seed [32]byte, passphrase Passphrase) error {
	return SaveSuccessor(path, identity.NewID(role, wire.NewKey(seed).Public()), seed, passphrase)
}

// SaveSuccessor writes, as [Save] does, the seed of a key that has succeeded, or will succeed, to the principal id.
func SaveSuccessor(path string, id identity.ID, seed [32]byte, passphrase Passphrase) error {
	return save(path, id, seed, passphrase, workFactor)
}

func save(path string, id identity.ID, seed [32]byte, passphrase Passphrase, factor int) error {
	if err := id.Check(); err != nil {
		return fmt.Errorf("agefile: save: %w", err)
	}
	content, err := format(id, seed)
	if err != nil {
		return err
	}
	defer func() { clear(content) }()
	if passphrase != nil {
		clearText := content
		content, err = encrypt(clearText, passphrase, factor)
		clear(clearText)
		if err != nil {
			return err
		}
	}
	return create(path, content)
}

// create writes a file that must not be there. It takes the name first, so that of two savers one fails.
func create(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrExists, path)
	}
	if err != nil {
		return fmt.Errorf("agefile: save: %w", err)
	}
	err = file.Close()
	if err == nil {
		err = datadir.WritePrivate(path, content)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("agefile: save: %w", err), os.Remove(path))
	}
	return nil
}

func format(id identity.ID, seed [32]byte) ([]byte, error) {
	text, err := identity.EncodeSeed(id.Role(), seed)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "# conclave %s key. Whoever reads it acts as the principal below.\n%s%s\n%s\n",
		id.Role(), principalLine, id, text), nil
}

func encrypt(content []byte, passphrase Passphrase, factor int) ([]byte, error) {
	secret, err := ask(passphrase)
	if err != nil {
		return nil, err
	}
	recipient, err := age.NewScryptRecipient(secret)
	if err != nil {
		return nil, fmt.Errorf("agefile: encrypt: %w", err)
	}
	recipient.SetWorkFactor(factor)
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	sealed, err := age.Encrypt(armored, recipient)
	if err != nil {
		return nil, fmt.Errorf("agefile: encrypt: %w", err)
	}
	_, err = sealed.Write(content)
	if err := errors.Join(err, sealed.Close(), armored.Close()); err != nil {
		return nil, fmt.Errorf("agefile: encrypt: %w", err)
	}
	return out.Bytes(), nil
}

// ask returns the passphrase, as the string that age wants.
func ask(passphrase Passphrase) (string, error) {
	if passphrase == nil {
		return "", ErrNoPassphrase
	}
	secret, err := passphrase()
	if err != nil {
		return "", fmt.Errorf("agefile: read passphrase: %w", err)
	}
	defer clear(secret)
	if len(secret) == 0 {
		return "", ErrNoPassphrase
	}
	return string(secret), nil
}

// Load reads the key file at path. The passphrase is asked for only if the file is encrypted; it may be nil. Errors:
// [ErrNotFound], [ErrLooseMode], [ErrNoPassphrase], [ErrWrongPassphrase], [ErrMalformed], those of passphrase and the
// file system. None of them shows what the file holds.
func Load(path string, passphrase Passphrase) (identity.Signer, error) {
	content, err := read(path)
	if err != nil {
		return identity.Signer{}, err
	}
	defer func() { clear(content) }()
	if encrypted := opener(content); encrypted != nil {
		if content, err = decrypt(encrypted, passphrase); err != nil {
			return identity.Signer{}, err
		}
	}
	return parse(string(content))
}

func read(path string) ([]byte, error) {
	content, err := datadir.ReadPrivate(path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", ErrNotFound, path)
	case errors.Is(err, datadir.ErrLooseMode):
		return nil, fmt.Errorf("%w: %w", ErrLooseMode.WithHint("chmod 600 "+path), err)
	case errors.Is(err, datadir.ErrTooLarge), errors.Is(err, datadir.ErrNotRegular):
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	case err != nil:
		return nil, fmt.Errorf("agefile: load: %w", err)
	}
	return content, nil
}

// opener returns a reader of the age file that content is, or nil if it is none.
func opener(content []byte) io.Reader {
	switch {
	case bytes.HasPrefix(content, []byte(binaryPrefix)):
		return bytes.NewReader(content)
	case bytes.HasPrefix(content, []byte(armor.Header)):
		return armor.NewReader(bytes.NewReader(content))
	}
	return nil
}

func decrypt(encrypted io.Reader, passphrase Passphrase) ([]byte, error) {
	secret, err := ask(passphrase)
	if err != nil {
		return nil, err
	}
	opening, err := age.NewScryptIdentity(secret)
	if err != nil {
		return nil, fmt.Errorf("agefile: decrypt: %w", err)
	}
	opening.SetMaxWorkFactor(maxWorkFactor)
	var content []byte
	reader, err := age.Decrypt(encrypted, opening)
	if err == nil {
		content, err = io.ReadAll(io.LimitReader(reader, maxFile))
	}
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &noMatch):
		return nil, ErrWrongPassphrase
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return content, nil
}

// parse reads the text form. Its errors do not quote it.
func parse(text string) (identity.Signer, error) {
	var id identity.ID
	var seedLine string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, named := strings.CutPrefix(line, principalLine)
		switch {
		case named && id.IsZero():
			var err error
			if id, err = identity.ParseID(name); err != nil {
				return identity.Signer{}, fmt.Errorf("%w: its principal line names nobody", ErrMalformed)
			}
		case named:
			return identity.Signer{}, fmt.Errorf("%w: two principal lines", ErrMalformed)
		case line == "" || line[0] == '#':
		case seedLine != "":
			return identity.Signer{}, fmt.Errorf("%w: more than one line that is no comment", ErrMalformed)
		default:
			seedLine = line
		}
	}
	role, seed, err := identity.ParseSeed(seedLine)
	if err != nil {
		return identity.Signer{}, fmt.Errorf("%w: no nkey seed of an agent, node or operator", ErrMalformed)
	}
	key := wire.NewKey(seed)
	if id.IsZero() {
		id = identity.NewID(role, key.Public())
	}
	if id.Role() != role {
		return identity.Signer{}, fmt.Errorf("%w: the seed is of a %s and the principal a %s", ErrMalformed, role, id.Role())
	}
	return identity.NewSigner(id, key), nil
}
