package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show which build this is", Args: cobra.NoArgs, Example: "  conclave version --json",
		RunE: func(*cobra.Command, []string) error {
			doc := map[string]string{
				"version": buildVersion(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
			}
			return p.emit(doc, func(w io.Writer) {
				fmt.Fprintf(w, "conclave %s %s %s\n", doc["version"], doc["go"], doc["platform"])
			})
		},
	}
}

// buildVersion returns the module's version, or the commit that was built, or "devel".
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}
