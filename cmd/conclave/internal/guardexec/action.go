package guardexec

import (
	"encoding/hex"

	"github.com/seed-3e86d5b2/conclave/consensus"
)

// ActionKind is the kind of action that running a command is.
const ActionKind = "process.exec"

// Action returns the description as the action that is decided: exactly this argv, directory and environment, and the
// digests of the executable, its interpreter and the bound files.
func (d Description) Action() consensus.Action {
	params := map[string][]string{
		"argv": d.Argv, "directory": {d.Dir}, "environment": d.Env,
		"executable": {d.Executable.Path, d.Executable.digest()},
	}
	if d.Interpreter != nil {
		params["interpreter"] = []string{d.Interpreter.Path, d.Interpreter.digest()}
	}
	for _, f := range d.Bound {
		params["bound"] = append(params["bound"], f.Path, f.digest())
	}
	return consensus.NewAction(ActionKind, d.Executable.Path, params)
}

// Openable names the parameters of [Description.Action] that a permit may leave open. What is executed is never open.
func Openable() []string { return []string{"argv", "directory", "environment", "bound"} }

func (f File) digest() string { return "sha256:" + hex.EncodeToString(f.Digest[:]) }
