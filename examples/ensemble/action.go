package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/seed-3e86d5b2/conclave/sdk"
)

// labelled is one action of the data, with what somebody found out about it afterwards. Checkers never see the label.
type labelled struct {
	name   string // of its file
	action sdk.Action
	good   bool
	why    string // where it is bad
}

// load reads all *.json files of a folder, in the order of their names.
func load(folder fs.FS) ([]labelled, error) {
	names, err := fs.Glob(folder, "*.json")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var list []labelled
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return nil, fmt.Errorf("ensemble: %w", err)
		}
		one, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("ensemble: %s: %w", name, err)
		}
		one.name = strings.TrimSuffix(path.Base(name), ".json")
		list = append(list, one)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("ensemble: no *.json file: %w", fs.ErrNotExist)
	}
	return list, nil
}

// parse reads one action. Fields that it does not know are refused: nobody would judge them.
func parse(text []byte) (labelled, error) {
	var file struct {
		Label    string              `json:"label"`
		Why      string              `json:"why"`
		Kind     string              `json:"kind"`
		Target   string              `json:"target"`
		Amount   uint64              `json:"amount"`
		Rollback string              `json:"rollback"`
		Params   map[string][]string `json:"params"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return labelled{}, err
	}
	if file.Label != "good" && file.Label != "bad" {
		return labelled{}, fmt.Errorf("label %q is neither good nor bad", file.Label)
	}
	a := sdk.NewAction(file.Kind, file.Target, file.Params)
	a.Amount, a.Rollback = file.Amount, file.Rollback
	return labelled{action: a, good: file.Label == "good", why: file.Why}, a.Check()
}
