package contexts

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// A document is a Context as it stands in a file.
type document struct {
	Realm     string   `yaml:"realm"`
	Addresses []string `yaml:"addresses"`
	Pins      []string `yaml:"pins"`
	Key       string   `yaml:"key"`
	Principal string   `yaml:"principal"`
	Seen      struct {
		Roster   number `yaml:"roster"`
		HeadSize number `yaml:"head_size"`
		HeadRoot string `yaml:"head_root"`
	} `yaml:"seen"`
}

// A number refuses what the YAML package would round: 3.5 is not 3.
type number uint64

// UnmarshalYAML reads a whole number from 0.
func (n *number) UnmarshalYAML(node *yaml.Node) error {
	if node.ShortTag() != "!!int" {
		return fmt.Errorf("line %d: %q is not a whole number", node.Line, node.Value)
	}
	return node.Decode((*uint64)(n))
}

// parse reads one strict YAML document: no unknown field, no field twice, nothing after it.
func parse(content []byte) (Context, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	var d document
	if err := decoder.Decode(&d); err != nil {
		if errors.Is(err, io.EOF) {
			return Context{}, fmt.Errorf("%w: empty", ErrInvalid)
		}
		return Context{}, fmt.Errorf("%w: %w", ErrInvalid, err) // names the line
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		return Context{}, fmt.Errorf("%w: more than one document", ErrInvalid)
	}
	c := Context{
		Realm: d.Realm, Addresses: d.Addresses, Pins: d.Pins, Key: d.Key, Principal: d.Principal,
		Seen: Seen{Roster: uint64(d.Seen.Roster), HeadSize: uint64(d.Seen.HeadSize), HeadRoot: d.Seen.HeadRoot},
	}
	return c, c.check()
}

func format(c Context) ([]byte, error) {
	d := document{Realm: c.Realm, Addresses: c.Addresses, Pins: c.Pins, Key: c.Key, Principal: c.Principal}
	d.Seen.Roster, d.Seen.HeadSize, d.Seen.HeadRoot = number(c.Seen.Roster), number(c.Seen.HeadSize), c.Seen.HeadRoot
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(d), encoder.Close()); err != nil {
		return nil, fmt.Errorf("contexts: encode: %w", err)
	}
	return out.Bytes(), nil
}
